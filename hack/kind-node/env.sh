# shellcheck shell=bash disable=SC2034 # its variables are for those who source it
# Versions, folders and helpers of the node image's scripts; sourced by each of them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)

# Kubernetes and etcd are the ones that internal/devstack/controlplane compiles: one version, pinned in one place.
go_constant() { sed -n "s/^\s*$1 *= \"\(.*\)\"/\1/p" "$repository/internal/devstack/controlplane/compile.go"; }
K8S_VERSION=$(go_constant KubernetesVersion)
ETCD_VERSION=$(go_constant EtcdVersion)
KIND_VERSION=$(sed -n 's/^\s*sigs.k8s.io\/kind \(v[^ ]*\).*/\1/p' "$repository/tools/go.mod")
# What kind of that version pins in images/base/Dockerfile, and kubeadm of that version asks for.
COREDNS_VERSION=v1.14.6
PAUSE_VERSION=3.10.2
CONTAINERD_VERSION=v2.3.4
CRICTL_VERSION=v1.36.0
CNI_VERSION=v1.9.1
LOCALPATH_VERSION=v0.0.30
KUBE_ROUTER_VERSION=v2.1.0
NODE_SUITE=trixie   # of the node, as kind's own
PG_SUITE=bookworm   # of the PostgreSQL image: version 15

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/kubernaut/kind-node
BIN=$CACHE/bin
# Intermediate images; they make the next build fast.
BASE_IMAGE=kubernaut/kind-base
IPTABLES_IMAGE=kubernaut/kind-iptables

export CGO_ENABLED=0 GOWORK=off GOFLAGS=-buildvcs=false
export PATH="$PATH:/usr/local/go/bin:/usr/sbin:/sbin"
mkdir -p "$BIN/cni"

say() { echo "kind-node: $*" >&2; }
die() { say "$*"; exit 1; }

# took TEXT COMMAND...: says what it does, and how long that took. The command's output goes to a log, whose end is
# shown when it fails.
took() {
	local text=$1 began=$SECONDS log
	shift
	mkdir -p "$CACHE/logs"
	log="$CACHE/logs/${text//[^a-zA-Z0-9.-]/_}.log"
	say "$text"
	# Not in a condition: that would switch "set -e" off inside the command.
	local status=0
	(set -e; "$@") >"$log" 2>&1 & wait $! || status=$?
	if [ "$status" -ne 0 ]; then
		tail -n 30 "$log" >&2
		die "$text: failed, see $log"
	fi
	[ $((SECONDS - began)) -lt 2 ] || say "$text: $((SECONDS - began)) s"
}

# What was made is marked with the key of what it was made from, so that it is made again when that changes.
made() { [ "$(cat "$CACHE/made/$1" 2>/dev/null)" = "$2" ]; }
mark() { mkdir -p "$CACHE/made"; printf '%s' "$2" >"$CACHE/made/$1"; }
digest() { cat "$@" | sha256sum | cut -c 1-12; }

have_image() { docker image inspect "$1" >/dev/null 2>&1; }
module_dir() { (cd /; go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p'); }

# The bounding set lacks capabilities where this machine is a container itself.
full_bounding_set() {
	local last
	[ -r /proc/sys/kernel/cap_last_cap ] || return 0 # Docker runs in a machine of its own
	last=$(cat /proc/sys/kernel/cap_last_cap)
	[ "$((16#$(sed -n 's/^CapBnd:\s*//p' /proc/self/status)))" -eq $(((1 << (last + 1)) - 1)) ]
}

# The tag of the built node image: another one whenever what it is made from is another.
node_image() {
	echo "kubernaut/kind-node:$K8S_VERSION-$(digest "$here"/{env,programs,base-image,node-image}.sh "$here"/src/{pause,kindnetd}/*.go "$here"/crictl/go.mod "$here"/network-policies.yaml "$repository/internal/devstack/controlplane/build/kubernetes.mod.txt" <(echo "$KIND_VERSION"))"
}
