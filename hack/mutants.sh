#!/usr/bin/env bash
# Breaks the promises of pkg/audit one patch at a time, in copies, and wants the test that names the promise to fail.
# usage: hack/mutants.sh [PATTERN]
#   PATTERN  a glob over the names of the patches, like 'F1-*'; all by default
set -euo pipefail
cd "$(dirname "$0")/.."

patches=$PWD/pkg/audit/mutants
mapfile -t selected < <(compgen -G "$patches/${1:-*}.patch" | sort -V)
[ "${#selected[@]}" -gt 0 ] || { echo "mutants: no patch ${1:-*} in $patches" >&2 && exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GOWORK=off
# The copies belong to no repository, wherever temporary files are.
export GIT_CEILING_DIRECTORIES=$work

# Each lane has a copy of its own, beside its test binary and the log of what it did last.
lanes=$(nproc)
[ "$lanes" -le "${#selected[@]}" ] || lanes=${#selected[@]}
for ((lane = 0; lane < lanes; lane++)); do
	mkdir -p "$work/$lane/copy/pkg"
	cp -r pkg/audit "$work/$lane/copy/pkg/"
done

# Without the race detector, because a mutant has to fail an assertion, and with little garbage collection: builds are most of the time.
build() { (cd "$work/$1/copy/pkg/audit" && GOGC=400 go test -vet=off -c -ldflags='-s -w' -o "$work/$1/audit.test" .) &>"$work/$1/log"; }
run() { (cd "$work/$1/copy/pkg/audit" && "$work/$1/audit.test" -test.run="$2" -test.count=1 -test.timeout=60s) &>"$work/$1/log"; }
apply() { git -C "$work/$1/copy" apply "${@:2}" - &>"$work/$1/log"; }

# fail LANE TEXT: what went wrong, with the end of the log.
fail() {
	echo "mutants: $2" >&2
	tail -n 30 "$work/$1/log" >&2
	return 1
}

# failed LANE PREFIX: the tests that the log says failed or timed out.
failed() { sed -nE "s/^(--- FAIL: |[[:space:]]+)($2[[:alnum:]_]+)[ /].*/\2/p" "$work/$1/log" | sort -u | paste -sd ' '; }

# caught LANE NAME: succeeds if a test of the promise fails with the applied patch.
caught() {
	local name=${2//-/ }
	local promise=${name%% *} tests
	build "$1" || fail "$1" "$2 does not build" || return 1
	if run "$1" "^Test${promise}_"; then
		echo "mutant $name: SURVIVED"
		return 1
	fi
	tests=$(failed "$1" "Test${promise}_")
	[ -n "$tests" ] || fail "$1" "$2 ended the tests, but none of them failed" || return 1
	if grep -q '^panic: test timed out' "$work/$1/log"; then
		tests="the timeout of $tests"
	fi
	echo "mutant $name: caught by $tests"
}

# try LANE PATCH: applies a patch, and takes it back.
try() {
	local name
	name=$(basename "$2" .patch)
	apply "$1" <"$2" || fail "$1" "$name does not apply" || return 0
	if caught "$1" "$name"; then
		echo "$name" >>"$work/caught"
	fi
	apply "$1" --reverse <"$2" || fail "$1" "$name cannot be taken back"
}

# drive LANE: tries every patch whose turn it is in this lane.
drive() {
	local i
	for ((i = $1; i < ${#selected[@]}; i += lanes)); do
		try "$1" "${selected[i]}"
	done
}

build 0 || fail 0 "the tests do not build without any mutant"
run 0 '^TestF[0-9]+_' || fail 0 "the tests fail without any mutant"
for promise in $("$work/0/audit.test" -test.list='^TestF[0-9]+_' | sed -E 's/^Test(F[0-9]+)_.*/\1/' | sort -uV); do
	compgen -G "$patches/$promise-*.patch" >/dev/null || { echo "mutants: no patch breaks $promise" >&2 && exit 1; }
done

touch "$work/caught"
running=()
for ((lane = 0; lane < lanes; lane++)); do
	drive "$lane" &
	running+=($!)
done
for pid in "${running[@]}"; do
	wait "$pid" # a lane that could not take a patch back ends the run
done
count=$(wc -l <"$work/caught")
echo "mutants ${#selected[@]} caught $count survived $((${#selected[@]} - count))"
[ "$count" -eq "${#selected[@]}" ]
