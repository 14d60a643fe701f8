#!/usr/bin/env bash
# From Debian packages and the compiled programs: the image of a node without Kubernetes (what kindest/base is upstream),
# and a small one with iptables, ipset, nft, conntrack and ip for kube-proxy, kindnetd and kube-router. Follows kind's images/base/Dockerfile.
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

packages=systemd,conntrack,iptables,ipset,nftables,iproute2,ethtool,util-linux,mount,kmod,libseccomp2,pigz,e2fsprogs,bash,ca-certificates,curl,jq,procps,socat,runc,busybox-static
rootfs=$CACHE/rootfs

debian() {
	rm -rf "$rootfs" "$rootfs.new"
	debootstrap --variant=minbase --include="$packages" "$NODE_SUITE" "$rootfs.new"
	mv "$rootfs.new" "$rootfs"
}

# What dynamic files of the root file system need, copied to another one.
libraries() { # TARGET FILE...
	local target=$1 library
	shift
	chroot "$rootfs" ldd "$@" | grep -oE '/lib[^ ]+' | grep -v '/xtables/' | sort -u | while read -r library; do
		mkdir -p "$target/usr$(dirname "$library")"
		cp -Lf "$rootfs$library" "$target/usr$library"
	done
}

iptables_image() {
	local fs=$CACHE/iptables-fs program name suffix file
	rm -rf "$fs"
	mkdir -p "$fs"/{bin,etc,run,tmp} "$fs"/usr/{sbin,bin,lib,lib64}
	ln -s usr/lib "$fs/lib"
	ln -s usr/lib64 "$fs/lib64"
	ln -s usr/sbin "$fs/sbin"
	for program in /usr/sbin/xtables-nft-multi /usr/sbin/nft /usr/sbin/ipset /usr/sbin/conntrack /usr/bin/ip; do
		[ -e "$rootfs$program" ] || program=${program#/usr}
		cp -L "$rootfs$program" "$fs/usr/sbin/"
		libraries "$fs" "$program"
	done
	# Extensions are opened at run time and have libraries of their own: without libm only Services with several
	# endpoints would fail.
	mkdir -p "$fs/usr/lib/x86_64-linux-gnu"
	cp -a "$rootfs/usr/lib/x86_64-linux-gnu/xtables" "$fs/usr/lib/x86_64-linux-gnu/"
	# shellcheck disable=SC2046 # one argument a file
	libraries "$fs" $(cd "$rootfs" && printf '/%s ' usr/lib/x86_64-linux-gnu/xtables/*.so)
	for name in iptables ip6tables; do
		for suffix in "" -save -restore; do ln -sf xtables-nft-multi "$fs/usr/sbin/$name$suffix"; done
	done
	for file in protocols services ethertypes; do
		[ ! -e "$rootfs/etc/$file" ] || cp "$rootfs/etc/$file" "$fs/etc/"
	done
	# Each of them runs, with its libraries, before anything depends on it.
	chroot "$fs" /usr/sbin/iptables -m statistic -h
	for program in iptables ip6tables nft ipset conntrack; do chroot "$fs" "/usr/sbin/$program" --version; done
	tar -C "$fs" -c . | docker import --change 'ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin' - "$IPTABLES_IMAGE:$key"
	rm -rf "$fs"
}

node_files() { # NODE KIND-FILES
	install -m 0755 -t "$1/usr/local/bin" "$2"/usr/local/bin/*
	mkdir -p "$1"/kind/bin "$1"/etc/{containerd,sysctl.d,kubernetes/manifests} "$1"/etc/systemd/system/kubelet.service.d "$1"/opt/cni/bin
	install -m 0755 -t "$1/kind/bin" "$2"/kind/bin/*
	install -m 0644 -t "$1/etc" "$2"/etc/crictl.yaml
	install -m 0644 -t "$1/etc/containerd" "$2"/etc/containerd/*
	install -m 0644 -t "$1/etc/default" "$2"/etc/default/*
	install -m 0644 -t "$1/etc/sysctl.d" "$2"/etc/sysctl.d/*
	install -m 0644 -t "$1/etc/systemd/system" "$2"/etc/systemd/system/*.service "$2"/etc/systemd/system/*.slice
	install -m 0644 -t "$1/etc/systemd/system/kubelet.service.d" "$2"/etc/systemd/system/kubelet.service.d/*
	install -m 0755 -t "$1/usr/local/bin" "$BIN"/{containerd,ctr,containerd-shim-runc-v2,crictl}
	install -m 0755 -t "$1/opt/cni/bin" "$BIN"/cni/*
	sed -i "s#registry.k8s.io/pause:[0-9.]*\"#registry.k8s.io/pause:$PAUSE_VERSION\"#" "$1/etc/containerd/config.toml"
}

base_image() {
	local node=$CACHE/base-fs kind
	kind=$(module_dir "sigs.k8s.io/kind@$KIND_VERSION")
	rm -rf "$node"
	cp -a "$rootfs" "$node"
	rm -rf "$node"/var/cache/apt/archives/*.deb "$node"/var/cache/apt/*.bin "$node"/var/lib/apt/lists/* "$node"/var/log/* "$node"/usr/share/{doc,man,locale}/*
	node_files "$node" "$kind/images/base/files"
	chroot "$node" /bin/bash -eu <<-'IN'
		export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		find /lib/systemd/system/sysinit.target.wants/ -name systemd-tmpfiles-setup.service -delete
		rm -f /lib/systemd/system/multi-user.target.wants/* /etc/systemd/system/*.wants/* /lib/systemd/system/local-fs.target.wants/* \
			/lib/systemd/system/sockets.target.wants/*udev* /lib/systemd/system/sockets.target.wants/*initctl* /lib/systemd/system/basic.target.wants/*
		echo "ReadKMsg=no" >>/etc/systemd/journald.conf
		ln -sf /usr/lib/systemd/systemd /sbin/init
		systemctl enable kubelet.service containerd.service undo-mount-hacks.service
		systemctl mask systemd-binfmt.service
		ctr oci spec | jq '.hooks.createContainer[.hooks.createContainer | length] |= . + {"path": "/kind/bin/mount-product-files.sh"} | del(.process.rlimits)' >/etc/containerd/cri-base.json
	IN
	tar -C "$node" -c . | docker import --change 'ENV container=docker' --change 'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]' - "$BASE_IMAGE:import"
	printf 'FROM %s:import\nSTOPSIGNAL SIGRTMIN+3\n' "$BASE_IMAGE" | DOCKER_BUILDKIT=0 docker build -q -t "$BASE_IMAGE:$key" -
	rm -rf "$node"
}

"$repository/hack/need.sh" debootstrap=debootstrap
if ! made rootfs "$NODE_SUITE $packages" || [ ! -d "$rootfs" ]; then
	took "installing Debian $NODE_SUITE for the node" debian
	mark rootfs "$NODE_SUITE $packages"
fi
key=$(digest "$0" "$here/env.sh" "$here/programs.sh" <(echo "$KIND_VERSION $K8S_VERSION"))
have_image "$IPTABLES_IMAGE:$key" || took "making the image $IPTABLES_IMAGE:$key" iptables_image
have_image "$BASE_IMAGE:$key" || took "making the image $BASE_IMAGE:$key" base_image
docker tag "$IPTABLES_IMAGE:$key" "$IPTABLES_IMAGE:local"
docker tag "$BASE_IMAGE:$key" "$BASE_IMAGE:local"
