#!/usr/bin/env bash
# Prints the node image to use: KIND_IMAGE where it is set; else the built one where there is one; else kind's own where
# it can be pulled; else one that is built now, from Go modules and Debian packages (about 20 minutes the first time).
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

if [ -n "${KIND_IMAGE:-}" ]; then
	echo "$KIND_IMAGE"
	exit 0
fi
built=$(node_image)
if have_image "$built"; then
	echo "$built"
	exit 0
fi
upstream=$(sed -n 's/^const Image = "\(.*\)"/\1/p' "$(module_dir "sigs.k8s.io/kind@$KIND_VERSION")/pkg/apis/config/defaults/image.go")
if have_image "$upstream" || timeout "${PULL_TIMEOUT:-20}" docker manifest inspect "$upstream" >/dev/null 2>&1; then
	# It is there, so a slow pull is worth waiting for.
	have_image "$upstream" || took "pulling $upstream" docker pull -q "$upstream"
	echo "$upstream"
	exit 0
fi
[ "$(id -u)" -eq 0 ] || die "$upstream cannot be pulled, and building a node image needs root; or name an image with KIND_IMAGE"
say "$upstream cannot be pulled: building a node image"
"$here/programs.sh" all >&2
"$here/base-image.sh" >&2
"$here/node-image.sh" >&2
echo "$built"
