#!/usr/bin/env bash
# Runs every fuzz target of both modules, one after the other. A target that fails leaves its input in testdata/fuzz of
# its package and does not stop the others.
# usage: hack/fuzz.sh DURATION    for each target, as in 30s
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${1:?usage: hack/fuzz.sh DURATION}
files='{{range .TestGoFiles}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}'
mapfile -t files < <(go list -f "$files" ./... ./pkg/audit/... | grep .)
# FILE:TARGET
mapfile -t targets < <(sed -n 's/^func \(Fuzz[[:alnum:]_]*\)(.*/\1/;T;F;p' "${files[@]}" | paste -d: - -)
[ "${#targets[@]}" -gt 0 ] || { echo "fuzz: found no fuzz target" >&2 && exit 1; }

# Go 1.26 sometimes reports the end of the fuzzing time itself as a failure, without an input (golang.org/issue/75804).
only_out_of_time() { # OUTPUT
	grep -qx '    context deadline exceeded' "$1" && ! grep -qE 'Failing input written|panic:' "$1"
}

output=$(mktemp)
trap 'rm -f "$output"' EXIT
failed=()
for target in "${targets[@]}"; do
	dir=$(dirname "${target%:*}")
	name=${target##*:}
	dir=./${dir#"$PWD/"}
	echo "fuzzing $name in $dir for $duration"
	go test "$dir" -run '^$' -fuzz "^$name\$" -fuzztime "$duration" -fuzzminimizetime 100x </dev/null 2>&1 | tee "$output" ||
		only_out_of_time "$output" || failed+=("$name in $dir")
done
echo "fuzz targets ${#targets[@]} failed ${#failed[@]}"
[ "${#failed[@]}" -eq 0 ] || { printf 'fuzz: %s failed\n' "${failed[@]}" >&2 && exit 1; }
