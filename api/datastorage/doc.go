// Package datastorage holds the contract of the DataStorage HTTP API: the
// OpenAPI document, and the types and the client that are generated from it.
package datastorage

import _ "embed" // for Document

// Document is the OpenAPI 3.0 document, as YAML.
//
//go:embed openapi.yaml
var Document []byte
