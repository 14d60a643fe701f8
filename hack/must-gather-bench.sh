#!/usr/bin/env bash
# Compares must-gather with `kubectl cluster-info dump` of the same namespace: median of ROUNDS alternating rounds.
# usage: hack/must-gather-bench.sh KUBECONFIG [NAMESPACE]
# Environment: KUBECTL (bin/kubectl), ROUNDS (5)
set -euo pipefail
cd "$(dirname "$0")/.."

kubeconfig=$(realpath "${1:?usage: hack/must-gather-bench.sh KUBECONFIG [NAMESPACE]}")
namespace=${2:-kubernaut-system}
kubectl=${KUBECTL:-bin/kubectl}
rounds=${ROUNDS:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/kubernaut" ./cmd/kubernaut

# milliseconds COMMAND... runs a command and prints how long it took.
milliseconds() {
	local began
	began=$(date +%s%N)
	"$@" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		return 1
	}
	echo $((($(date +%s%N) - began) / 1000000))
}

median() { sort -n "$1" | sed -n "$(((rounds + 1) / 2))p"; }

for ((round = 1; round <= rounds; round++)); do
	milliseconds "$kubectl" --kubeconfig "$kubeconfig" cluster-info dump --namespaces "$namespace" --output-directory "$work/dump-$round" >>"$work/dump"
	milliseconds "$work/kubernaut" must-gather --kubeconfig "$kubeconfig" --namespace "$namespace" --dest "$work/gathered" >>"$work/gather"
done
for what in dump gather; do
	echo "$what: median $(median "$work/$what") ms, lowest $(sort -n "$work/$what" | head -n 1), highest $(sort -n "$work/$what" | tail -n 1)"
done
awk -v g="$(median "$work/gather")" -v d="$(median "$work/dump")" 'BEGIN { printf "ratio must-gather-vs-dump %.2f bar <= 2\n", g / d; exit !(g <= 2 * d) }'
