#!/usr/bin/env bash
# An image of Alertmanager for tests, from scratch: the official release's program, compiled from its module, whose web
# interface is not part of the module and is left empty.
# usage: hack/kind-node/alertmanager-image.sh TAG
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

tag=${1:?usage: alertmanager-image.sh TAG}
version=v0.35.0
work=$CACHE/alertmanager

image() {
	local source
	source=$(module_dir "github.com/prometheus/alertmanager@$version")
	rm -rf "$work"
	mkdir -p "$work/context"
	cp -r "$source" "$work/source"
	chmod -R u+w "$work/source"
	for interface in elm mantine; do
		mkdir -p "$work/source/ui/app/dist/$interface"
		echo '<!doctype html><title>Alertmanager</title>' >"$work/source/ui/app/dist/$interface/index.html"
	done
	(cd "$work/source" && go build -trimpath -ldflags '-s -w' -o "$work/context/alertmanager" ./cmd/alertmanager)
	printf 'FROM scratch\nCOPY alertmanager /alertmanager\nUSER 65534:65534\nENTRYPOINT ["/alertmanager"]\n' >"$work/context/Dockerfile"
	DOCKER_BUILDKIT=0 docker build -q -t "$1" "$work/context"
	rm -rf "$work"
}

built=kubernaut/alertmanager-module:$version-$(digest "$0")
have_image "$built" || took "compiling Alertmanager $version" image "$built"
docker tag "$built" "$tag"
