#!/usr/bin/env bash
# Runs every fuzz target of the workspace for a while.
# usage: hack/fuzz.sh DURATION
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${1:?usage: hack/fuzz.sh DURATION}
grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do
	dir=$(dirname "$file")
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
		echo "fuzzing $target in $dir for $duration"
		go test "$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$duration" -fuzzminimizetime 100x
	done
done
