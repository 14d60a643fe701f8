// Package postgres finds or provides a PostgreSQL server, 14 or later.
//
// [Start] takes the first of these that the machine has:
//
//  1. the server that DATABASE_URL names;
//  2. server binaries on the machine: a private cluster, reached over a unix
//     socket alone, protected by a random password, run as a user that is not root;
//  3. the distribution's package, installed with apt-get where this process is root;
//  4. a server that github.com/fergusstrange/embedded-postgres downloads;
//  5. a container.
//
// A private cluster fsyncs: what it acknowledged survives the machine. It ends
// with this process, see package supervise.
package postgres
