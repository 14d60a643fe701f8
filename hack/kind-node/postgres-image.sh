#!/usr/bin/env bash
# A PostgreSQL image for trials and tests. The official one is used where it can be pulled; else one is made from Debian
# packages, with the part of the official one's interface that the deployment uses: POSTGRES_USER, POSTGRES_PASSWORD,
# POSTGRES_DB, PGDATA, uid 999, SIGINT to stop it.
# usage: hack/kind-node/postgres-image.sh TAG
# shellcheck source=env.sh
. "$(dirname "$0")/env.sh"

tag=${1:?usage: postgres-image.sh TAG}
upstream=postgres:15
fs=$CACHE/postgres-fs

entrypoint() {
	cat <<'SH'
#!/bin/bash
set -euo pipefail
export PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=${PGDATA:-/var/lib/postgresql/data}
user=${POSTGRES_USER:-postgres} db=${POSTGRES_DB:-${POSTGRES_USER:-postgres}}
if [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA" /var/run/postgresql
	chown -R postgres:postgres "$PGDATA" /var/run/postgresql
	exec setpriv --reuid=999 --regid=999 --clear-groups env HOME=/var/lib/postgresql "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
	# Beside its place until it is complete: a half-made cluster would never be finished.
	new=$PGDATA.new
	rm -rf "$new"
	initdb -D "$new" -U "$user" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:?}") -A scram-sha-256 --auth-local=trust -E UTF8 --locale=C.UTF-8 >/dev/null
	echo 'host all all all scram-sha-256' >>"$new/pg_hba.conf"
	pg_ctl -D "$new" -w -o "-c listen_addresses=''" start >/dev/null
	[ "$db" = postgres ] || createdb -U "$user" "$db"
	pg_ctl -D "$new" -w -m fast stop >/dev/null
	mkdir -p "$PGDATA"
	rmdir "$PGDATA"
	mv "$new" "$PGDATA"
fi
[ "${1:-}" != postgres ] || shift
exec postgres -c listen_addresses='*' "$@"
SH
}

debian() {
	rm -rf "$fs"
	debootstrap --variant=minbase --include=ca-certificates "$PG_SUITE" "$fs"
	chroot "$fs" groupadd -r -g 999 postgres
	chroot "$fs" useradd -r -u 999 -g 999 -d /var/lib/postgresql -s /bin/bash postgres
	# Neither a cluster nor a service is wanted while the package is installed.
	mkdir -p "$fs/etc/postgresql-common"
	echo 'create_main_cluster = false' >"$fs/etc/postgresql-common/createcluster.conf"
	printf '#!/bin/sh\nexit 101\n' >"$fs/usr/sbin/policy-rc.d"
	chmod 755 "$fs/usr/sbin/policy-rc.d"
	cp /etc/resolv.conf "$fs/etc/resolv.conf"
	# Without its recommendations it comes without the compiler for queries, which is most of its size.
	DEBIAN_FRONTEND=noninteractive chroot "$fs" apt-get install -y -q --no-install-recommends postgresql-15 postgresql-client-15
	rm -rf "$fs"/etc/resolv.conf "$fs"/var/cache/apt/* "$fs"/var/lib/apt/lists/* "$fs"/usr/share/{doc,man,locale,postgresql/15/man}/* "$fs"/usr/sbin/policy-rc.d "$fs"/var/log/*
	mkdir -p "$fs/var/run/postgresql"
	entrypoint >"$fs/usr/local/bin/docker-entrypoint.sh"
	chmod 755 "$fs/usr/local/bin/docker-entrypoint.sh"
	tar -C "$fs" -c . | docker import --change 'ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
		--change 'ENV PGDATA=/var/lib/postgresql/data' --change 'EXPOSE 5432' \
		--change 'ENTRYPOINT ["docker-entrypoint.sh"]' --change 'CMD ["postgres"]' - "$1-import"
	# A server that is told to end by SIGTERM waits for its clients to leave first. An import cannot set the signal.
	printf 'FROM %s-import\nSTOPSIGNAL SIGINT\n' "$1" | DOCKER_BUILDKIT=0 docker build -q -t "$1" -
	rm -rf "$fs"
}

built=kubernaut/postgres-debian:15-$(digest "$0")
if have_image "$built"; then
	docker tag "$built" "$tag"
elif have_image "$upstream" || timeout 60 docker pull -q "$upstream" >/dev/null 2>&1; then
	docker tag "$upstream" "$tag"
else
	[ "$(id -u)" -eq 0 ] || die "$upstream cannot be pulled, and making an image from Debian packages needs root"
	"$repository/hack/need.sh" debootstrap=debootstrap
	took "making a PostgreSQL image from Debian packages" debian "$built"
	docker tag "$built" "$tag"
fi
