#!/usr/bin/env bash
# Compiles the programs of a node from their Go modules into the cache; what is there already is not compiled again.
# usage: hack/kind-node/programs.sh all|kubectl
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

build_dir=$repository/internal/devstack/controlplane/build

# wrapper NAME: a module that requires the program's, whose own has replace lines, which a main module alone may have.
wrapper() {
	mkdir -p "$CACHE/modules/$1"
	cp "$build_dir/$1.mod.txt" "$CACHE/modules/$1/go.mod"
	cp "$build_dir/$1.sum.txt" "$CACHE/modules/$1/go.sum"
	cd "$CACHE/modules/$1"
}

kubernetes_flags() {
	local minor flags="-s -w" package
	minor=${K8S_VERSION#v1.}
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags+=" -X $package.gitVersion=$K8S_VERSION -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
		flags+=" -X $package.gitTreeState=clean -X $package.gitCommit=goproxy -X $package.buildDate=1970-01-01T00:00:00Z"
	done
	echo "$flags"
}

kubernetes() { # PROGRAM...
	wrapper kubernetes
	go build -mod=readonly -trimpath -ldflags "$(kubernetes_flags)" -o "$BIN/" "${@/#/k8s.io/kubernetes/cmd/}"
}

etcd() {
	wrapper etcd
	go build -mod=readonly -trimpath -ldflags '-s -w' -o "$BIN/etcd" go.etcd.io/etcd/server/v3
}

crictl() {
	cd "$here/crictl"
	go build -mod=readonly -trimpath -ldflags "-s -w -X sigs.k8s.io/cri-tools/pkg/version.Version=${CRICTL_VERSION#v}" -o "$BIN/crictl" sigs.k8s.io/cri-tools/cmd/crictl
}

# install LDFLAGS MODULE@VERSION-PATHS...: for modules without replace lines.
install() {
	local flags=$1
	shift
	cd /
	GOBIN=${GOBIN:-$BIN} go install -trimpath -ldflags "-s -w $flags" "$@"
}

containerd() {
	local flags="-X github.com/containerd/containerd/v2/version.Version=$CONTAINERD_VERSION"
	GOFLAGS="$GOFLAGS -tags=no_aufs,no_zfs,no_btrfs,no_devmapper" install "$flags" \
		github.com/containerd/containerd/v2/cmd/{containerd,ctr,containerd-shim-runc-v2}@"$CONTAINERD_VERSION"
}

cni() {
	local flags="-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=$CNI_VERSION"
	GOBIN=$BIN/cni install "$flags" github.com/containernetworking/plugins/plugins/{ipam/host-local,main/loopback,main/ptp,meta/portmap}@"$CNI_VERSION"
}

own() {
	cd "$here/src"
	go build -trimpath -ldflags '-s -w' -o "$BIN/" ./pause ./kindnetd
}

once() { # NAME KEY TEXT COMMAND...
	local name=$1 key=$2 text=$3
	shift 3
	made "$name" "$key" || { took "$text" "$@"; mark "$name" "$key"; }
}

[ $# -eq 1 ] || die "usage: programs.sh all|kubectl"
once kubectl "$K8S_VERSION" "compiling kubectl $K8S_VERSION" kubernetes kubectl
[ "$1" = all ] || exit 0
once kubernetes "$K8S_VERSION" "compiling Kubernetes $K8S_VERSION (about 7 minutes the first time)" \
	kubernetes kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubeadm
once etcd "$ETCD_VERSION" "compiling etcd $ETCD_VERSION" etcd
once crictl "$CRICTL_VERSION" "compiling crictl $CRICTL_VERSION" crictl
once local-path "$LOCALPATH_VERSION" "compiling local-path-provisioner $LOCALPATH_VERSION" \
	install "" github.com/rancher/local-path-provisioner@"$LOCALPATH_VERSION"
once coredns "$COREDNS_VERSION" "compiling CoreDNS $COREDNS_VERSION" install "" github.com/coredns/coredns@"$COREDNS_VERSION"
once kube-router "$KUBE_ROUTER_VERSION" "compiling kube-router $KUBE_ROUTER_VERSION" \
	install "-X github.com/cloudnativelabs/kube-router/v2/pkg/version.Version=$KUBE_ROUTER_VERSION" github.com/cloudnativelabs/kube-router/v2/cmd/kube-router@"$KUBE_ROUTER_VERSION"
once containerd "$CONTAINERD_VERSION" "compiling containerd $CONTAINERD_VERSION" containerd
once cni "$CNI_VERSION" "compiling CNI plugins $CNI_VERSION" cni
once own "$(digest "$here"/src/*/*.go)" "compiling pause and kindnetd" own
