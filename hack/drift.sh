#!/usr/bin/env bash
# Fails when generated code or a module file is not what the sources make it.
# usage: hack/drift.sh --generated         generated code, which is made again in place
#        hack/drift.sh --modules MODULE... module files, checksum files and builds
#        hack/drift.sh --module MODULE     the file and the build of one module
set -euo pipefail
cd "$(dirname "$0")/.."

# A module must be tidy, and build without the workspace. One with a single program would leave its binary here. The tools
# are built when they are needed.
module() {
	local failed=0
	if ! (cd "$1" && GOWORK=off go mod tidy -diff); then
		echo "drift: $1/go.mod is not tidy: run 'make tidy' and commit" >&2
		failed=1
	fi
	if [ "$1" != tools ] && ! (cd "$1" && GOWORK=off go build -o /dev/null ./...); then
		echo "drift: $1 does not build outside the workspace: check the replace lines of its go.mod" >&2
		failed=1
	fi
	return "$failed"
}
what=${1:?want --generated, --modules or --module}
shift
if [ "$what" = --module ]; then
	module "$1"
	exit
fi

# Compare with the state before, so that a work tree with uncommitted changes can be checked too.
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
failed=0

if [ "$what" = --generated ]; then
	generated=(api pkg/audit/wire docs/events.md services/datastorage/internal/httpapi)
	for dir in "${generated[@]}"; do
		mkdir -p "$(dirname "$before/$dir")"
		cp -r "$dir" "$before/$dir"
	done
	make --no-print-directory generate
	for dir in "${generated[@]}"; do
		if ! diff -ru "$before/$dir" "$dir"; then
			echo "drift: $dir differs from what its sources generate: run 'make generate' and commit" >&2
			failed=1
		fi
	done
	exit "$failed"
fi

# sums prints the checksum files of the workspace with a digest each.
sums() { sha256sum go.work.sum go.sum pkg/audit/go.sum; }

# Reading a module graph takes one processor.
printf '%s\n' "$@" tools | xargs -P "$(nproc)" -n 1 hack/drift.sh --module || failed=1
# A go command adds the checksums that it misses, which would leave a clean clone modified. Listing all modules of the
# workspace needs every checksum that a build, a test or an editor asks for.
sums >"$before/sums"
go list -m all >/dev/null
go build ./... ./pkg/audit/...
if ! sums | diff "$before/sums" -; then
	echo "drift: building adds checksums to the files above: run 'make tidy' and commit" >&2
	failed=1
fi
exit "$failed"
