#!/usr/bin/env bash
# Fails when generated code or a module file is not what the sources make it.
# usage: hack/drift.sh MODULE...
set -euo pipefail
cd "$(dirname "$0")/.."

# The state before, so that it works on a tree with uncommitted changes too.
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
generated=(api pkg/audit/wire services/datastorage/internal/httpapi)
for dir in "${generated[@]}"; do
	mkdir -p "$before/$dir"
	cp -r "$dir/." "$before/$dir/"
done

failed=0
make --no-print-directory generate
for dir in "${generated[@]}"; do
	if ! diff -ru "$before/$dir" "$dir"; then
		echo "drift: $dir differs from what its sources generate: run 'make generate' and commit" >&2
		failed=1
	fi
done
for module in "$@" tools; do
	if ! (cd "$module" && GOWORK=off go mod tidy -diff); then
		echo "drift: $module/go.mod is not tidy: run 'make tidy' and commit" >&2
		failed=1
	fi
done
# Each module must build for somebody who has it without the workspace.
for module in "$@"; do
	if ! (cd "$module" && GOWORK=off go build ./...); then
		echo "drift: $module does not build outside the workspace: check the replace lines of its go.mod" >&2
		failed=1
	fi
done
exit "$failed"
