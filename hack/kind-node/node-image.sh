#!/usr/bin/env bash
# The node image: the base image, Kubernetes, and the images of its parts in containerd's store. It does in shell what
# "kind build node-image" does: that cannot be used without a registry, because it pulls every image that is not the
# first of one of the four kube-*.tar of a server tarball.
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

work=$CACHE/node-image.$$
container=kubernaut-kind-node-$$
cleanup() {
	rm -rf "$work"
	docker rm -f -v "$container" >/dev/null 2>&1 || true
}
trap cleanup EXIT

# from_scratch TAG FILE... -- IMPORT-FLAGS: an image of programs and CA certificates.
from_scratch() {
	local tag=$1 fs=$work/fs
	shift
	rm -rf "$fs"
	mkdir -p "$fs/usr/local/bin" "$fs/tmp" "$fs/etc/ssl/certs"
	chmod 1777 "$fs/tmp"
	cp "$CACHE/rootfs/etc/ssl/certs/ca-certificates.crt" "$fs/etc/ssl/certs/"
	while [ "$1" != -- ]; do
		cp "$1" "$fs/usr/local/bin/"
		shift
	done
	shift
	tar -C "$fs" --owner 0 --group 0 -c . | docker import --change 'ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$@" - "$tag"
}

# with_iptables TAG PROGRAM DOCKERFILE-LINE: a program beside iptables, ipset, nft, conntrack and ip.
with_iptables() {
	local dir=$work/layer
	rm -rf "$dir"
	mkdir -p "$dir"
	cp "$BIN/$2" "$dir/"
	printf 'FROM %s:local\nCOPY %s /usr/local/bin/%s\n%s\n' "$IPTABLES_IMAGE" "$2" "$2" "$3" >"$dir/Dockerfile"
	DOCKER_BUILDKIT=0 docker build -q -t "$1" "$dir"
}

# The helper of the storage provisioner runs shell commands.
storage_helper() {
	local fs=$work/helper applet
	mkdir -p "$fs/bin"
	cp "$CACHE/rootfs/bin/busybox" "$fs/bin/"
	for applet in sh mkdir rm; do ln -s busybox "$fs/bin/$applet"; done
	tar -C "$fs" --owner 0 --group 0 -c . | docker import --change 'ENV PATH=/bin' - "$1"
}

kind_constant() { sed -n "s/^const $1 = \"\(.*\)\"/\1/p" "$kind"/pkg/build/nodeimage/const_*.go; }

# manifest CONSTANT FILE: the text between back quotes in kind's source, with the names of images put in.
manifest() {
	sed -n "/^const $1 = \`/,/^\`\$/p" "$kind/pkg/build/nodeimage/$2" |
		sed "1d;\$d;s#\` + kindnetdImage + \`#$kindnetd#;s#\` + storageProvisionerImage + \`#$provisioner#;s#\` + storageHelperImage + \`#$helper#"
}

parts() {
	local part
	for part in kube-apiserver kube-controller-manager kube-scheduler; do
		from_scratch "registry.k8s.io/$part:$K8S_VERSION" "$BIN/$part" -- --change "ENTRYPOINT [\"/usr/local/bin/$part\"]"
	done
	from_scratch "$etcd" "$BIN/etcd" --
	from_scratch "$dns" "$BIN/coredns" -- --change 'ENTRYPOINT ["/usr/local/bin/coredns"]'
	from_scratch "$pause" "$BIN/pause" -- --change 'ENTRYPOINT ["/usr/local/bin/pause"]'
	from_scratch "$provisioner" "$BIN/local-path-provisioner" -- --change 'ENTRYPOINT ["/usr/local/bin/local-path-provisioner"]'
	storage_helper "$helper"
	with_iptables "registry.k8s.io/kube-proxy:$K8S_VERSION" kube-proxy ''
	with_iptables "$kindnetd" kindnetd 'ENTRYPOINT ["/usr/local/bin/kindnetd"]'
	with_iptables "$kube_router" kube-router 'ENTRYPOINT ["/usr/local/bin/kube-router"]'
}

node() {
	local program
	docker run -d --name "$container" --privileged --entrypoint sleep "$BASE_IMAGE:local" infinity
	for program in kubeadm kubelet kubectl; do docker cp -q "$BIN/$program" "$container:/usr/bin/$program"; done
	{
		manifest defaultCNIManifest const_cni.go
		echo ---
		sed "s#KUBE_ROUTER_IMAGE#$kube_router#" "$here/network-policies.yaml"
	} | docker exec -i "$container" sh -euc 'mkdir -p /kind/manifests; cat >/kind/manifests/default-cni.yaml'
	manifest defaultStorageManifest const_storage.go | docker exec -i "$container" sh -euc 'cat >/kind/manifests/default-storage.yaml'
	printf %s "$K8S_VERSION" | docker exec -i "$container" sh -euc 'cat >/kind/version'
	docker exec -d "$container" containerd
	docker exec "$container" bash -euc 'for i in {1..150}; do if ctr version >/dev/null 2>&1; then exit 0; fi; sleep .2; done; exit 1'
	docker save registry.k8s.io/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy}:"$K8S_VERSION" \
		"$etcd" "$dns" "$pause" "$kindnetd" "$kube_router" "$provisioner" "$helper" |
		docker exec -i "$container" ctr -n k8s.io images import --label=io.cri-containerd.pinned=pinned --all-platforms --no-unpack --digests -
	docker exec "$container" sh -euc 'kill $(pidof containerd); while pidof containerd >/dev/null; do sleep .1; done; rm -rf /run/containerd /var/lib/containerd/io.containerd.grpc* /var/log/*'
	docker commit --change 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]' "$container" "$1"
	# They are inside it now.
	docker image rm registry.k8s.io/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy}:"$K8S_VERSION" \
		"$etcd" "$dns" "$pause" "$kindnetd" "$kube_router" "$provisioner" "$helper"
}

image=$(node_image)
have_image "$image" && exit 0
mkdir -p "$work"
kind=$(module_dir "sigs.k8s.io/kind@$KIND_VERSION")
# The names that kubeadm and kind's manifests ask for.
wanted=$("$BIN/kubeadm" config images list --kubernetes-version "$K8S_VERSION" 2>/dev/null)
etcd=$(grep /etcd: <<<"$wanted")
dns=$(grep /coredns/ <<<"$wanted")
pause=registry.k8s.io/pause:$PAUSE_VERSION
kindnetd=$(kind_constant kindnetdImage)
kube_router=docker.io/cloudnativelabs/kube-router:$KUBE_ROUTER_VERSION
provisioner=$(kind_constant storageProvisionerImage)
helper=$(kind_constant storageHelperImage)
took "making the images of Kubernetes' parts" parts
took "making the node image $image" node "$image"
