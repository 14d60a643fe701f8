// Package httpapi serves the DataStorage API. Its routes are generated from the
// OpenAPI document in kubernaut.ai/api/datastorage; it reads bodies, calls
// ingest and query, and answers, errors as problem details.
package httpapi
