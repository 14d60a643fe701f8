#!/usr/bin/env bash
# Collects diagnostics of Kubernaut: runs `kubernaut must-gather`, see its --help. Uses bin/kubernaut or the kubernaut on
# the path, or builds it where Go and this repository are.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ -e "$here/go.mod" ] && command -v go >/dev/null; then
	program=$here/out/kubernaut
	(cd "$here" && go build -o "$program" ./cmd/kubernaut)
elif [ -x "$here/bin/kubernaut" ]; then
	program=$here/bin/kubernaut
else
	program=$(command -v kubernaut) || {
		echo "must-gather: needs the program kubernaut on the path, or Go to build it: see https://go.dev/dl" >&2
		exit 1
	}
fi
exec "$program" must-gather "$@"
