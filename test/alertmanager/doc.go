// Package alertmanager is a client of the Gateway for suites: it sends notifications
// as Alertmanager does, single ones or under load, and decodes the responses. It also
// runs a real Alertmanager, for what the platform tells one.
package alertmanager
