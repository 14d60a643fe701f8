#!/usr/bin/env bash
# Breaks the promises of pkg/audit one patch at a time, in a copy, and wants the test that names the promise to fail.
# usage: hack/mutants.sh [PATTERN]
#   PATTERN  a glob over the names of the patches, like 'F1-*'; all by default
set -euo pipefail
cd "$(dirname "$0")/.."

patches=pkg/audit/mutants
mapfile -t selected < <(compgen -G "$patches/${1:-*}.patch" | sort -V)
[ "${#selected[@]}" -gt 0 ] || { echo "mutants: no patch ${1:-*} in $patches" >&2 && exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
copy=$work/copy
mkdir -p "$copy/pkg"
cp -r pkg/audit "$copy/pkg/"
export GOWORK=off
# The copy belongs to no repository, wherever temporary files are.
export GIT_CEILING_DIRECTORIES=$work

build() { (cd "$copy/pkg/audit" && go test -race -c -ldflags='-s -w' -o "$work/audit.test" .) &>"$work/log"; }
run() { (cd "$copy/pkg/audit" && "$work/audit.test" -test.run="$1" -test.count=1 -test.timeout=60s) &>"$work/log"; }
apply() { git -C "$copy" apply "$@" - &>"$work/log"; }

# fail TEXT: what went wrong, with the end of the log.
fail() {
	echo "mutants: $1" >&2
	tail -n 30 "$work/log" >&2
	return 1
}

# failed PREFIX: the tests that the log says failed or timed out.
failed() { sed -nE "s/^(--- FAIL: |[[:space:]]+)($1[[:alnum:]_]+)[ /].*/\2/p" "$work/log" | sort -u | paste -sd ' '; }

# caught PATCH NAME: succeeds if a test of the promise fails with the applied patch.
caught() {
	local promise=${2%% *} tests
	build || fail "$1 does not build" || return 1
	if run "^Test${promise}_"; then
		echo "mutant $2: SURVIVED"
		return 1
	fi
	tests=$(failed "Test${promise}_")
	[ -n "$tests" ] || fail "$1 ended the tests, but none of them failed" || return 1
	echo "mutant $2: caught by $tests"
}

build || fail "the tests do not build without any mutant"
run '^TestF[0-9]+_' || fail "the tests fail without any mutant"
for promise in $("$work/audit.test" -test.list='^TestF[0-9]+_' | sed -E 's/^Test(F[0-9]+)_.*/\1/' | sort -uV); do
	compgen -G "$patches/$promise-*.patch" >/dev/null || { echo "mutants: no patch breaks $promise" >&2 && exit 1; }
done

count=0
for patch in "${selected[@]}"; do
	apply <"$patch" || fail "$patch does not apply" || continue
	if caught "$patch" "$(basename "$patch" .patch | tr - ' ')"; then
		count=$((count + 1))
	fi
	apply --reverse <"$patch" || fail "$patch cannot be taken back"
done
echo "mutants ${#selected[@]} caught $count survived $((${#selected[@]} - count))"
[ "$count" -eq "${#selected[@]}" ]
