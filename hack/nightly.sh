#!/usr/bin/env bash
# Runs what takes too long for every change: the specs of the alerts, the kill tests and the benchmarks at full scale,
# an upgrade on Kind, and every fuzz target. A step that fails does not stop the others; the run fails at its end.
# usage: hack/nightly.sh
# Environment: FUZZTIME (3m, for each target), LIMIT (10800: seconds for all steps)
set -euo pipefail
cd "$(dirname "$0")/.."
export SCALE=full

limit=${LIMIT:-10800}
failed=()

step() { # NAME COMMAND...
	local name=$1 began=$SECONDS
	shift
	echo "--- $name"
	# A step gets what is left of the limit, and a second if nothing is.
	timeout --foreground "$((limit > SECONDS ? limit - SECONDS : 1))" "$@" || failed+=("$name (exit code $?)")
	echo "--- $name took $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
}

step "alerts" make --no-print-directory test-alerts PROCS=4
step "torture" make --no-print-directory torture
step "upgrade" make --no-print-directory test-upgrade
step "benchmarks" make --no-print-directory bench
step "fuzzing" hack/fuzz.sh "${FUZZTIME:-3m}"

[ "${#failed[@]}" -eq 0 ] || { printf 'nightly: %s failed\n' "${failed[@]}" >&2 && exit 1; }
echo "nightly: passed in $((SECONDS / 60)) min"
