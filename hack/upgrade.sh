#!/usr/bin/env bash
# Upgrades a deployed platform under load, with the steps of docs/operating.md; then undoes DataStorage's rollout and does
# it again. Nothing that was acknowledged may be lost or doubled, and no client may be refused for long.
# usage: hack/upgrade.sh    creates a Kind cluster with the deployment of an older commit, upgrades it, deletes it
# Environment: FROM (the last commit before the second schema version), UPGRADE_KEEP=1 (keeps the cluster), NAMESPACE
#              (kubernaut-system), CLUSTER (kubernaut-upgrade), DATASTORAGE_PORT (30180), GATEWAY_PORT (30181)
set -euo pipefail
cd "$(dirname "$0")/.."

second=services/datastorage/internal/schema/migrations/00002_commitments_and_batches.sql
from=${FROM:-$(git log --diff-filter=A --format=%H -1 -- "$second")^}
export CLUSTER=${CLUSTER:-kubernaut-upgrade} DATASTORAGE_PORT=${DATASTORAGE_PORT:-30180} GATEWAY_PORT=${GATEWAY_PORT:-30181}
export NAMESPACE=${NAMESPACE:-kubernaut-system} KIND_OUT=out/upgrade KUBECTL=$PWD/bin/kubectl
export KUBECONFIG=$PWD/$KIND_OUT/kubeconfig
older=$(mktemp -d)
load=

say() { echo "upgrade: $*" >&2; }
kube() { "$KUBECTL" -n "$NAMESPACE" "$@"; }

finish() {
	local status=$?
	[ -z "$load" ] || kill -KILL "$load" 2>/dev/null || true
	if [ "$status" -ne 0 ] && [ -e "$KUBECONFIG" ]; then
		kube get pods >&2 || true
		hack/must-gather.sh --kubeconfig "$KUBECONFIG" --namespace "$NAMESPACE" --dest out/must-gather >&2 || true
	fi
	if [ "${UPGRADE_KEEP:-}" = 1 ]; then
		say "the cluster is kept: KUBECONFIG=$KUBECONFIG; CLUSTER=$CLUSTER hack/kind.sh down deletes it"
	else
		hack/kind.sh down || true
	fi
	rm -rf "$older"
	exit "$status"
}
trap finish EXIT

# The older commit is deployed by its own scripts, outside of this repository.
deploy_older() {
	git archive "$from" | tar -x -C "$older"
	mkdir -p "$older/bin" "$KIND_OUT"
	cp -L bin/kind "$older/bin/"
	(
		cd "$older"
		hack/kind.sh up
		VERSION=older hack/images.sh >/dev/null
		hack/kind.sh load
		hack/kind.sh deploy
	)
	cp -r "$older"/out/kind/{kubeconfig,tls} "$KIND_OUT/"
}

# SQL as an administrator of the database, from standard input. Arguments are environment variables.
administrator() { kube exec -i postgres-0 -- env "$@" psql --quiet --no-align --tuples-only --username datastorage --dbname audit; }

# The load must go on before each step.
step() {
	kill -0 "$load" 2>/dev/null || wait "$load"
	say "$*"
}

start_load() {
	E2E_KUBECONFIG=$KUBECONFIG E2E_CA_FILE=$PWD/$KIND_OUT/tls/ca.crt E2E_DATASTORAGE_URL=https://127.0.0.1:$DATASTORAGE_PORT \
		E2E_GATEWAY_URL=https://127.0.0.1:$GATEWAY_PORT bin/clusterload -rollouts 3 &
	load=$!
	await 120 stored_some "the load stores nothing"
}

stored_some() { [ "$(administrator <<<"SELECT count(*) FROM audit_events WHERE event_type = 'gateway.load.recorded'")" -ge 1000 ]; }
completed() { [ "$(administrator <<<"SELECT count(*) FROM audit_events WHERE batch_id IS NULL")" = 0 ]; }

await() { # SECONDS CONDITION TEXT
	local end=$((SECONDS + $1))
	until "$2"; do
		[ $SECONDS -lt $end ] || { say "after $1 s $3" && return 1; }
		sleep 2
	done
}

# Maintenance runs each minute.
await_maintenance() { await 600 completed "events of the older version are not complete: see the log of datastorage-maintenance"; }
await_rollout() { kube rollout status "deployment/$1" --timeout 300s >/dev/null || { say "$1 is not ready after 5 minutes" && return 1; }; }

make_roles() {
	local migration=for-trials-only-too serving=for-trials-only-as-well # what the overlay says
	administrator "MIGRATION_PASSWORD=$migration" "SERVING_PASSWORD=$serving" <deploy/kustomize/components/postgres/server/roles.sql >/dev/null
	kube patch secret datastorage-database --patch "{\"stringData\": {
		\"migration-url\": \"postgres://kubernaut_migration:$migration@postgres:5432/audit?sslmode=disable\",
		\"url\": \"postgres://kubernaut_serving:$serving@postgres:5432/audit?sslmode=disable\"}}" >/dev/null
}

began=$SECONDS
hack/kind.sh down # what an earlier run left
rm -rf "$KIND_OUT"
say "deploying $from"
deploy_older
hack/images.sh >/dev/null
hack/kind.sh load
start_load
step "making the roles, and applying the newer deployment"
make_roles
hack/kind.sh deploy
await_rollout datastorage-maintenance
await_maintenance
step "undoing the rollout of DataStorage"
kube rollout undo deployment/datastorage >/dev/null
await_rollout datastorage
step "upgrading DataStorage again"
kube rollout undo deployment/datastorage >/dev/null
await_rollout datastorage
await_maintenance
step "ending the load"
kill -TERM "$load"
wait "$load"
say "took $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
