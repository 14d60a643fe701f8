#!/usr/bin/env bash
# Runs a suite repeatedly with random seeds and accumulates the counts over calls.
# usage: hack/flake.sh RUNS [FOCUS]
#   RUNS   how often
#   FOCUS  a regular expression over spec names; the founding scenario by default, "." for all
# Environment: SUITE (integration; e2e runs against the deployed cluster), PROCS (12), LABELS (a Ginkgo label filter),
#   COUNTS (the file of the counts, out/flake.counts)
set -euo pipefail
cd "$(dirname "$0")/.."

runs=${1:?usage: hack/flake.sh RUNS [FOCUS]}
focus=${2:-founding scenario}
procs=${PROCS:-12}
counts=${COUNTS:-out/flake.counts}
suite=${SUITE:-integration}
name=$suite:$(tr -c 'a-zA-Z0-9.\n' _ <<<"$focus")
mkdir -p out "$(dirname "$counts")"

case $suite in
integration) go run ./test/prepare ;;
e2e)
	export E2E_KUBECONFIG=${E2E_KUBECONFIG:-$PWD/out/kind/kubeconfig} KUBECTL=${KUBECTL:-$PWD/bin/kubectl}
	;;
*)
	echo "flake: SUITE=$suite: want integration or e2e" >&2
	exit 2
	;;
esac
make --no-print-directory "test/$suite/prebuilt.test"

failed_runs=0
for ((run = 1; run <= runs; run++)); do
	seed=$((RANDOM * 32768 + RANDOM))
	log=out/flake.$$.log
	status=0
	began=$SECONDS
	(cd test && go tool ginkgo -p --procs="$procs" --randomize-all --seed="$seed" --focus="$focus" ${LABELS:+--label-filter="$LABELS"} \
		--fail-on-pending --fail-on-empty --no-color "./$suite/prebuilt.test") >"$log" 2>&1 || status=$?
	# "Ran 12 of 90 Specs in ..." and "PASS! -- 12 Passed | 0 Failed | ..."
	ran=$(sed -n 's/^Ran \([0-9]*\) of .*/\1/p' "$log" | tail -n 1)
	bad=$(sed -n 's/.* \([0-9]*\) Failed |.*/\1/p' "$log" | tail -n 1)
	echo "$name ${ran:-0} ${bad:-0} $status $seed" >>"$counts"
	if [ "$status" -ne 0 ]; then
		failed_runs=$((failed_runs + 1))
		mv "$log" "out/flake.seed-$seed.log"
		echo "run $run of $runs: FAILED with seed $seed, see out/flake.seed-$seed.log"
	else
		rm -f "$log"
		echo "run $run of $runs: ${ran:-0} specs passed in $((SECONDS - began)) s (seed $seed)"
	fi
done

awk -v want="$name" '
	$1 == want { runs++; specs += $2; bad += $3; if ($4 != 0) broken++ }
	END { printf "flake %s runs %d specs %d failed-specs %d failed-runs %d\n", want, runs, specs, bad, broken }' "$counts"
[ "$failed_runs" -eq 0 ]
