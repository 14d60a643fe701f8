// Package alertmanager is the Gateway's client in suites: it sends notifications
// as Alertmanager does, single ones and loads of them, and reads the answers.
package alertmanager
