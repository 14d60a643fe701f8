#!/usr/bin/env bash
# Gets Docker running, or says what is missing. As root on Debian it installs Docker and starts the daemon, which goes on
# running afterwards; elsewhere Docker is the machine's own affair.
# shellcheck source=kind-node/env.sh
. "$(dirname "$0")/kind-node/env.sh"

runtime=runc-bounded
configuration=/etc/docker/daemon.json

running() { timeout 20 docker info >/dev/null 2>&1; }

await() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.2
	done
}

# Docker before version 23 gives privileged containers capabilities that this machine may not have, see src/runc-bounded.
needs_runtime() {
	! full_bounding_set && [ "$(dockerd --version 2>/dev/null | sed -n 's/^Docker version \([0-9]*\).*/\1/p')" -lt 23 ]
}

# The file may be there from an earlier life of this machine, the program not: the program is always put in its place.
install_runtime() {
	(cd "$here/src" && go build -trimpath -ldflags '-s -w' -o "$BIN/" "./$runtime")
	install -D -m 0755 "$BIN/$runtime" "/usr/local/sbin/$runtime"
	if [ ! -e "$configuration" ]; then
		mkdir -p "$(dirname "$configuration")"
		printf '{"runtimes":{"%s":{"path":"/usr/local/sbin/%s"}},"default-runtime":"%s"}\n' "$runtime" "$runtime" "$runtime" >"$configuration"
	elif ! grep -q "\"$runtime\"" "$configuration"; then
		die "$configuration exists: add the runtime $runtime (/usr/local/sbin/$runtime) to it as default-runtime"
	fi
}

uses_runtime() { docker info --format '{{.DefaultRuntime}}' 2>/dev/null | grep -qx "$runtime"; }

start() {
	if [ -d /run/systemd/system ]; then
		systemctl start docker
	else
		# A pid file of an earlier life of this machine: its number may be another process's by now.
		local pid
		pid=$(cat /var/run/docker.pid 2>/dev/null || true)
		if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != dockerd ]; then rm -f /var/run/docker.pid; fi
		mkdir -p "$CACHE/logs"
		setsid dockerd >"$CACHE/logs/dockerd.log" 2>&1 </dev/null &
		say "starting dockerd (process $!, log $CACHE/logs/dockerd.log); it goes on running"
	fi
	await 60 running || {
		tail -n 20 "$CACHE/logs/dockerd.log" >&2 2>/dev/null || true
		die "dockerd does not answer"
	}
}

if ! command -v docker >/dev/null || { [ "$(id -u)" -eq 0 ] && ! running && ! command -v dockerd >/dev/null; }; then
	"$repository/hack/need.sh" dockerd=docker.io
fi
if ! running; then
	if [ "$(id -u)" -ne 0 ]; then
		die "Docker does not answer: start it (Docker Desktop, or: sudo systemctl start docker), and see that you may use it (group docker)"
	fi
	! needs_runtime || install_runtime
	start
elif [ "$(id -u)" -eq 0 ] && command -v dockerd >/dev/null && needs_runtime && ! uses_runtime; then
	# The daemon reads its runtimes again on SIGHUP; nothing is restarted.
	install_runtime
	kill -HUP "$(cat /var/run/docker.pid)"
	await 20 uses_runtime || die "Docker did not take the runtime $runtime of $configuration"
fi
