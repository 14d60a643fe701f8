// Command datastorage measures DataStorage beside bare PostgreSQL: the server, its clients and
// PostgreSQL share the machine, and both sides write the same rows into the same table.
//
// Families of bars:
//
//	ingest  batches beside COPY, and single events beside INSERT, over as many connections; the server's peak memory
//	replay  batches that were stored before beside new ones, on a server that was just started
//	query   a trail beside bare SQL, pages, and searches that find nothing beside a sequential scan, and ingest beside searches
//	size    bytes in the database for each byte of NDJSON
//
// It prints absolute figures and one line a bar (see package ratio), and exits with 1 when
// a bar was missed. The variable SCALE is small (the default) or full.
package main
