// Package httpserver is what the services' HTTP servers share: ports, servers
// that stop gracefully, and the management port with probes, metrics and the
// audit flush.
package httpserver
