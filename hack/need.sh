#!/usr/bin/env bash
# Makes sure that programs are there: installs their Debian packages where that is possible, else says what to do.
# usage: hack/need.sh PROGRAM=PACKAGE...
#        hack/need.sh --compiler     a C compiler with the headers of the C library
set -euo pipefail

missing=()
packages=()
if [ "${1-}" = --compiler ]; then
	if ! echo '#include <stdlib.h>' | "$(go env CC)" -E - >/dev/null 2>&1; then
		missing=("a C compiler, which the race detector needs")
		packages=(gcc libc6-dev)
	fi
else
	for pair in "$@"; do
		command -v "${pair%%=*}" >/dev/null && continue
		missing+=("${pair%%=*}")
		packages+=("${pair#*=}")
	done
fi
[ "${#missing[@]}" -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
	echo "missing: ${missing[*]}; on Debian or Ubuntu: sudo apt-get install ${packages[*]}" >&2
	exit 1
fi
echo "installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get install -y --no-install-recommends "${packages[@]}" >/dev/null 2>&1 || {
	apt-get update >/dev/null
	apt-get install -y --no-install-recommends "${packages[@]}" >/dev/null
}
