// Package schematest has databases of earlier schema versions, for tests of upgrades.
package schematest

import _ "embed"

// Version1 makes the tables of a program of schema version 1, with Version1Events events.
//
//go:embed version1.sql
var Version1 string

// Version1Events is how many events Version1 stores.
const Version1Events = 20
