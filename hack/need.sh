#!/usr/bin/env bash
# Checks that programs are installed. As root on Debian it installs the packages of those that are not, after asking;
# elsewhere it prints the command that installs them.
# usage: hack/need.sh PROGRAM=PACKAGE...
#        hack/need.sh --compiler     a C compiler with the headers of the C library
# Environment: INSTALL=1 or CI=true installs without asking
set -euo pipefail
# shellcheck source=consent.sh
. "$(dirname "$0")/consent.sh"

# Debian installs servers where not every user's PATH leads.
PATH=$PATH:/usr/sbin
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

install=(apt-get install --yes --no-install-recommends "${packages[@]}")
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
	echo "missing: ${missing[*]}; on Debian or Ubuntu, run: sudo ${install[*]}" >&2
	exit 1
fi
consent "install ${packages[*]}" "${install[*]}"
echo "installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
"${install[@]}" >/dev/null 2>&1 || {
	apt-get update >/dev/null
	"${install[@]}" >/dev/null
}
