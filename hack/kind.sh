#!/usr/bin/env bash
# Creates, fills and deletes a Kind cluster for trials and end-to-end tests. Each step can be repeated and is fast the second
# time.
# usage: hack/kind.sh up       creates the cluster (a node image is picked or built, see kind-node/README.md)
#        hack/kind.sh load     brings the images of hack/images.sh, PostgreSQL's and Alertmanager's to its node
#        hack/kind.sh deploy   applies deploy/kustomize (cluster, workflows, their access, overlays/kind with TLS and the API for people, with
#                              certificates of hack/certificates in out/kind/tls) and waits until everything is ready
#        hack/kind.sh down     deletes it
# Environment: CLUSTER (kubernaut), NAMESPACE (kubernaut-system: where the platform goes), WORKFLOWS_NAMESPACE (kubernaut-workflows),
#              KIND_IMAGE (a node image to use), KIND_OUT (out/kind: kubeconfig, certificates, overlay; two folders below the root)
set -euo pipefail
cd "$(dirname "$0")/.."

cluster=${CLUSTER:-kubernaut}
out=${KIND_OUT:-out/kind}
export KUBECONFIG=$PWD/$out/kubeconfig
kind=bin/kind
kubectl=${KUBECTL:-bin/kubectl}
postgres=kubernaut/postgres:trial
alertmanager=kubernaut/alertmanager:test
namespace=${NAMESPACE:-kubernaut-system}
workflows=${WORKFLOWS_NAMESPACE:-kubernaut-workflows}

say() { echo "kind: $*" >&2; }
exists() { "$kind" get clusters 2>/dev/null | grep -qx "$cluster"; }
answers() { timeout 20 "$kubectl" get --raw /readyz >/dev/null 2>&1; }

# Each patch is added only on machines that need it.
configuration() {
	cat <<-Y
		kind: Cluster
		apiVersion: kind.x-k8s.io/v1alpha4
		nodes:
		- role: control-plane
		  extraPortMappings:
		  - {containerPort: 30080, hostPort: ${DATASTORAGE_PORT:-30080}, listenAddress: "127.0.0.1", protocol: TCP}
		  - {containerPort: 30081, hostPort: ${GATEWAY_PORT:-30081}, listenAddress: "127.0.0.1", protocol: TCP}
	Y
	# Kubernetes 1.35 and later refuse a host with cgroup v1 unless told otherwise.
	[ "$(docker info --format '{{.CgroupVersion}}')" != 1 ] || cat <<-'Y'
		kubeadmConfigPatches:
		- |
		  kind: KubeletConfiguration
		  failCgroupV1: false
	Y
	# Without CAP_SYS_RESOURCE no process can lower its oom_score_adj below the present one.
	(. hack/kind-node/env.sh; full_bounding_set) || cat <<-'Y'
		containerdConfigPatches:
		- |-
		  [plugins."io.containerd.grpc.v1.cri"]
		    restrict_oom_score_adj = true
	Y
}

up() {
	hack/docker.sh
	mkdir -p "$out"
	if exists; then
		"$kind" export kubeconfig --name "$cluster" --kubeconfig "$KUBECONFIG" 2>/dev/null || true
		if answers; then
			say "cluster $cluster is up"
			return
		fi
		say "cluster $cluster does not respond: creating it again"
		"$kind" delete cluster --name "$cluster" --kubeconfig "$KUBECONFIG" --quiet
	fi
	local image began=$SECONDS
	image=$(hack/kind-node/image.sh)
	configuration >"$out/cluster.yaml"
	say "creating cluster $cluster from $image"
	"$kind" create cluster --name "$cluster" --image "$image" --config "$out/cluster.yaml" --kubeconfig "$KUBECONFIG" --wait 120s --quiet
	# "--wait" waits only for the node.
	"$kubectl" -n kube-system rollout status deployment/coredns --timeout 120s >/dev/null
	"$kubectl" -n local-path-storage rollout status deployment/local-path-provisioner --timeout 120s >/dev/null
	say "cluster $cluster is up: $((SECONDS - began)) s; KUBECONFIG=$KUBECONFIG"
}

load() {
	local began=$SECONDS images
	[ -s out/images/tags ] || hack/images.sh >/dev/null
	hack/kind-node/postgres-image.sh "$postgres"
	hack/kind-node/alertmanager-image.sh "$alertmanager"
	mapfile -t images <out/images/tags
	! docker image inspect kubernaut/must-gather:dev >/dev/null 2>&1 || images+=(kubernaut/must-gather:dev)
	"$kind" load docker-image --quiet --name "$cluster" "${images[@]}" "$postgres" "$alertmanager"
	say "images are on the node: $((SECONDS - began)) s"
}

# Tags by image id replace those of the kustomizations, so that new images create new pods.
images() {
	local tag
	echo images:
	while read -r tag; do printf -- '- {name: %s, newTag: %s}\n' "${tag%:*}" "${tag##*:}"; done <out/images/tags
}

overlay() {
	cat <<-Y
		apiVersion: kustomize.config.k8s.io/v1beta1
		kind: Kustomization
		namespace: $namespace
		transformers:
		- ../../deploy/kustomize/namespace
		resources:
		- ../../deploy/kustomize/overlays/kind
		components:
		- ../../deploy/kustomize/components/tls
		- ../../deploy/kustomize/components/remediation/tls
		- ../../deploy/kustomize/components/people
		- tls
		patches:
		- target: {kind: StatefulSet, name: workflowexecution}
		  patch: |-
		    - op: add
		      path: /spec/template/spec/containers/0/env/-
		      value: {name: WORKFLOWEXECUTION_WORKFLOWS_NAMESPACE, value: $workflows}
	Y
	images
}

# The workflows, and what the platform, in its namespace, may do there.
workflows() {
	cat <<-Y
		apiVersion: kustomize.config.k8s.io/v1beta1
		kind: Kustomization
		namespace: $workflows
		resources:
		- ../../../deploy/kustomize/workflows
		- ../../../deploy/kustomize/workflows-access
		patches:
		- target: {kind: RoleBinding, name: workflowexecution}
		  patch: |-
		    - {op: replace, path: /subjects/0/namespace, value: $namespace}
	Y
	images # of a Job
}

deploy() {
	local began=$SECONDS workload part
	# The host calls node ports of its loopback interface.
	GOFLAGS=-buildvcs=false go run ./hack/certificates -namespace "$namespace" -ip 127.0.0.1 -dir "$out/tls"
	mkdir -p "$out/workflows"
	overlay >"$out/kustomization.yaml"
	workflows >"$out/workflows/kustomization.yaml"
	: >"$out/apply.log"
	for part in deploy/kustomize/cluster "$out/workflows" "$out"; do
		"$kubectl" apply -k "$part" >>"$out/apply.log" || {
			cat "$out/apply.log" >&2
			exit 1
		}
	done
	for workload in statefulset/postgres deployment/datastorage statefulset/gateway statefulset/signalprocessing statefulset/workflowexecution; do
		"$kubectl" -n "$namespace" rollout status "$workload" --timeout 300s >/dev/null || {
			"$kubectl" -n "$namespace" get pods >&2
			say "$workload is not ready after 5 minutes"
			exit 1
		}
	done
	"$kubectl" wait --for=condition=Available --timeout 60s apiservice v1.audit.kubernaut.ai >/dev/null
	say "everything is ready in namespace $namespace, workflows in $workflows: $((SECONDS - began)) s"
}

case "${1:-}" in
up | load | deploy) "$1" ;;
down)
	exists || exit 0
	"$kind" delete cluster --name "$cluster" --kubeconfig "$KUBECONFIG" --quiet
	say "cluster $cluster is deleted"
	;;
*)
	sed -n '/^# usage/,/^# Environment/s/^# //p' "$0" >&2
	exit 2
	;;
esac
