// Package cli is what the platform's programs share: commands and their
// configuration, logging, HTTP servers that stop gracefully, and the
// management server with probes, metrics and the audit flush.
package cli
