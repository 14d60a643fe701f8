#!/usr/bin/env bash
# Runs the end-to-end suites.
# usage: hack/e2e.sh run    against the cluster that out/kind/kubeconfig names
#        hack/e2e.sh all    cluster, images, deployment, suites; collects a diagnosis when one fails; deletes the cluster
# Environment: NAMESPACE (kubernaut-system), WORKFLOWS_NAMESPACE (kubernaut-workflows), E2E_KEEP=1 (keeps the cluster), PROCS (12), SEED, FOCUS, LABELS (a Ginkgo label filter)
set -euo pipefail
cd "$(dirname "$0")/.."

suite=test/e2e/prebuilt.test
latest=out/must-gather/latest # the file with the path of the newest archive
procs=${PROCS:-12}
export E2E_KUBECONFIG=${E2E_KUBECONFIG:-$PWD/out/kind/kubeconfig}
KUBECTL=${KUBECTL:-$PWD/bin/kubectl}
export KUBECTL NAMESPACE=${NAMESPACE:-kubernaut-system} WORKFLOWS_NAMESPACE=${WORKFLOWS_NAMESPACE:-kubernaut-workflows}

say() { echo "e2e: $*" >&2; }

run() {
	mkdir -p out
	make --no-print-directory "$suite"
	cd test
	go tool ginkgo -p --procs="$procs" --randomize-all --fail-on-pending --fail-on-empty --output-dir="$OLDPWD/out" --junit-report=e2e.xml \
		${LABELS:+--label-filter="$LABELS"} ${SEED:+--seed="$SEED"} ${FOCUS:+--focus="$FOCUS"} "$OLDPWD/$suite" || {
		local status=$?
		[ ! -e "$OLDPWD/$latest" ] || say "collected: $(cat "$OLDPWD/$latest")"
		return "$status"
	}
}

# The suite collects its own diagnosis before it removes anything; this is for failures before it runs.
collect() {
	local archive
	mkdir -p out/must-gather
	archive=$(hack/must-gather.sh --kubeconfig "$E2E_KUBECONFIG" --namespace "$NAMESPACE" --namespace "$WORKFLOWS_NAMESPACE" --dest out/must-gather | tee /dev/stderr | tail -n 1) || true
	[ ! -e "$archive" ] || realpath "$archive" >"$latest"
}

all() {
	local began=$SECONDS status=0 step
	rm -f "$latest"
	for step in "hack/kind.sh up" "hack/images.sh" "hack/kind.sh load" "hack/kind.sh deploy" "$0 run"; do
		# Each step is a separate script: "set -e" does not work in a function that is called in a condition.
		$step || {
			status=$?
			say "$step failed"
			[ -e "$latest" ] || collect
			break
		}
	done
	if [ "${E2E_KEEP:-}" = 1 ]; then
		say "the cluster is kept: KUBECONFIG=$E2E_KUBECONFIG, make kind-down deletes it"
	else
		hack/kind.sh down
	fi
	say "took $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
	if [ -e "$latest" ]; then
		say "collected: $(cat "$latest")"
	fi
	return "$status"
}

case "${1:-}" in
run | all) "$1" ;;
*)
	sed -n '/^# usage/,/^# Environment/s/^# //p' "$0" >&2
	exit 2
	;;
esac
