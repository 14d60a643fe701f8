#!/usr/bin/env bash
# Builds the images of the services, from scratch bases: no registry is needed. An image whose content has not changed
# keeps its id. Each is tagged "dev", and by its id, so that a deployment notices a new one.
# usage: hack/images.sh            builds, and prints the tags by id
#        REGISTRY=registry.example.com/kubernaut VERSION=v1.2.3 hack/images.sh    tags them for a registry besides
set -euo pipefail
cd "$(dirname "$0")/.."
export CGO_ENABLED=0 GOFLAGS=-buildvcs=false

services=(datastorage gateway signalprocessing workflowexecution)
work=out/images

authorities() {
	local file
	for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
		if [ -e "$file" ]; then
			echo "$file"
			return
		fi
	done
	echo "images: no file of certificate authorities on this machine: install ca-certificates" >&2
	return 1
}

# No time of the build: the same revision makes the same image.
buildinfo=kubernaut.ai/internal/buildinfo
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || true)}
revision=$(git rev-parse HEAD 2>/dev/null || true)
arch=$(docker version --format '{{.Server.Arch}}')
trusted=$(authorities)
mkdir -p "$work"
for service in "${services[@]}"; do
	mkdir -p "$work/$service"
	GOOS=linux GOARCH=$arch go build -trimpath -ldflags "-s -w -X $buildinfo.version=$version -X $buildinfo.revision=$revision" -o "$work/$service/service" "./services/$service/cmd/$service"
	cp "$trusted" "$work/$service/ca-certificates.crt"
	# Arguments cannot be used in an entry point.
	{ cat deploy/images/Dockerfile; echo "ENTRYPOINT [\"/$service\"]"; } >"$work/$service/Dockerfile"
	DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-$(docker buildx version >/dev/null 2>&1 && echo 1 || echo 0)} \
		docker build -q --build-arg "SERVICE=$service" -t "kubernaut/$service:dev" "$work/$service" >/dev/null 2>"$work/$service/log" || {
		cat "$work/$service/log" >&2
		echo "images: building kubernaut/$service failed" >&2
		exit 1
	}
	id=$(docker image inspect --format '{{.Id}}' "kubernaut/$service:dev")
	tag=kubernaut/$service:$(cut -c 8-19 <<<"$id")
	docker tag "kubernaut/$service:dev" "$tag"
	[ -z "${REGISTRY:-}" ] || docker tag "$tag" "$REGISTRY/$service:${VERSION:?set VERSION, as in v1.2.3, with REGISTRY}"
	echo "$tag"
done | tee "$work/tags"

# The image for `oc adm must-gather --image`. Nothing is installed: the packages are only unpacked.
mustgather=$work/must-gather
mkdir -p "$mustgather/deb" "$mustgather/root/usr/bin" "$mustgather/root/bin" "$mustgather/root/must-gather" "$mustgather/root/etc/ssl/certs" "$mustgather/root/tmp"
chmod 1777 "$mustgather/root/tmp"
if ! command -v apt-get >/dev/null || [ "$(dpkg --print-architecture)" != "$arch" ]; then
	echo "images: kubernaut/must-gather is left out: it needs the Debian packages bash-static and busybox-static of $arch" >&2
	exit 0
fi
(cd "$mustgather/deb" && { ls bash-static_*.deb busybox-static_*.deb >/dev/null 2>&1 || apt-get download bash-static busybox-static >/dev/null; } &&
	for package in *.deb; do dpkg-deb -x "$package" unpacked; done)
cp "$mustgather/deb/unpacked/bin/bash-static" "$mustgather/root/bin/bash"
cp "$mustgather/deb/unpacked/bin/busybox" "$mustgather/root/bin/busybox"
for applet in $("$mustgather/root/bin/busybox" --list); do
	case $applet in bash | busybox | setsid) ;; *) ln -sf busybox "$mustgather/root/bin/$applet" ;; esac
done
# oc starts the command with "setsid -w", which busybox does not know. Its setsid waits if it need not fork: in a process
# that leads no group.
rm -f "$mustgather/root/bin/setsid"
cat >"$mustgather/root/bin/setsid" <<-'S'
	#!/bin/bash
	[ "$1" != -w ] || shift
	/bin/busybox setsid "$@"
	exit $?
S
chmod +x "$mustgather/root/bin/setsid"
GOOS=linux GOARCH=$arch go build -trimpath -ldflags "-s -w -X $buildinfo.version=$version -X $buildinfo.revision=$revision" -o "$mustgather/root/usr/bin/gather" ./cmd/kubernaut
cp "$trusted" "$mustgather/root/etc/ssl/certs/ca-certificates.crt"
cp deploy/images/must-gather.Dockerfile "$mustgather/Dockerfile"
echo deb >"$mustgather/.dockerignore"
docker build -q -t kubernaut/must-gather:dev "$mustgather" >/dev/null
[ -z "${REGISTRY:-}" ] || docker tag kubernaut/must-gather:dev "$REGISTRY/must-gather:$VERSION"
echo "kubernaut/must-gather:dev"
