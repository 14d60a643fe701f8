// Package events publishes the JSON Schemas of the platform's audit events.
package events

import "embed"

// Dir is the folder of the schemas in Schemas; each file is named after its event type.
const Dir = "schemas"

// Schemas has a JSON Schema (draft 2020-12) for the data of each event type.
//
//go:embed schemas/*.json
var Schemas embed.FS
