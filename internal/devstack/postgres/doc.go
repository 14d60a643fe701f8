// Package postgres finds or starts a PostgreSQL server, version 14 or later.
//
// [Start] uses the first of these that is available:
//
//  1. the server that DATABASE_URL names;
//  2. server binaries on the machine: a private cluster that listens only on a unix
//     socket, has a random password and does not run as root;
//  3. the distribution's package, installed with apt-get if this process is root
//     and the change is allowed, see package consent;
//  4. a server that github.com/fergusstrange/embedded-postgres downloads;
//  5. a container.
//
// A private cluster runs with fsync: what it acknowledged survives a crash of
// the machine. It ends with this process, see package supervise.
package postgres
