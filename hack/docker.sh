#!/usr/bin/env bash
# Starts Docker, or prints what is missing. As root on Debian it installs Docker and starts the daemon, after asking; the
# daemon keeps running. Elsewhere it expects Docker to run.
# Environment: INSTALL=1 or CI=true changes the machine without asking
# shellcheck source=kind-node/env.sh
. "$(dirname "$0")/kind-node/env.sh"
# shellcheck source=consent.sh
. "$(dirname "$0")/consent.sh"

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

# Docker before version 23 grants privileged containers capabilities that this machine may lack, see src/runc-bounded.
needs_runtime() {
	! full_bounding_set && [ "$(dockerd --version 2>/dev/null | sed -n 's/^Docker version \([0-9]*\).*/\1/p')" -lt 23 ]
}

# The configuration may have survived a rebuild of this machine when the program did not: always install the program.
install_runtime() {
	consent "install the container runtime $runtime in /usr/local/sbin and name it in $configuration" "INSTALL=1 hack/docker.sh"
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
	consent "start the Docker daemon" "$([ -d /run/systemd/system ] && echo systemctl start docker || echo dockerd)"
	if [ -d /run/systemd/system ]; then
		systemctl start docker
	else
		# The pid file may be left from before a restart of this machine: another process may have that pid.
		local pid
		pid=$(cat /var/run/docker.pid 2>/dev/null || true)
		if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != dockerd ]; then rm -f /var/run/docker.pid; fi
		mkdir -p "$CACHE/logs"
		setsid dockerd >"$CACHE/logs/dockerd.log" 2>&1 </dev/null &
		say "starting dockerd (pid $!, log $CACHE/logs/dockerd.log); it keeps running"
	fi
	await 60 running || {
		tail -n 20 "$CACHE/logs/dockerd.log" >&2 2>/dev/null || true
		die "dockerd does not respond"
	}
}

if ! command -v docker >/dev/null || { [ "$(id -u)" -eq 0 ] && ! running && ! command -v dockerd >/dev/null; }; then
	"$repository/hack/need.sh" dockerd=docker.io
fi
if ! running; then
	if [ "$(id -u)" -ne 0 ]; then
		die "Docker does not respond: start it (Docker Desktop, or: sudo systemctl start docker), and check that you may use it (group docker)"
	fi
	! needs_runtime || install_runtime
	start
elif [ "$(id -u)" -eq 0 ] && command -v dockerd >/dev/null && needs_runtime && ! uses_runtime; then
	# The daemon reloads its runtimes on SIGHUP; no container restarts.
	install_runtime
	kill -HUP "$(cat /var/run/docker.pid)"
	await 20 uses_runtime || die "Docker did not load the runtime $runtime from $configuration"
fi
