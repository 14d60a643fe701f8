#!/usr/bin/env bash
# older-datastorage.sh OUTPUT [COMMIT]: builds DataStorage from the last commit before the newest migration, or from COMMIT.
set -euo pipefail
output=$(realpath -m "${1:?usage: older-datastorage.sh OUTPUT [COMMIT]}")
cd "$(git rev-parse --show-toplevel)"
newest=$(find services/datastorage/internal/schema/migrations -name '*.sql' | sort | tail -1)
commit=${2:-$(git log --diff-filter=A --format=%H -1 -- "$newest")^}
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
git archive "$commit" | tar -x -C "$source"
cd "$source"
go build -buildvcs=false -o "$output" ./services/datastorage/cmd/datastorage
