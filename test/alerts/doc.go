// Package alerts has the suite about the alerts of the deployment. For each of them a spec
// causes in real services what the alert warns of, waits until it fires, follows its
// runbook, removes the cause, and waits until it ends.
//
// The rules are the ones that are deployed, evaluated by Prometheus' own rule manager and
// engine over scrapes of the services' real metrics. Only the time is the suite's: each
// scrape is stored under the time of the rules, which advances by the interval of the
// PodMonitor with each scrape. So an alert that waits for an hour fires within seconds,
// provided that its cause lasts through all the scrapes of that hour.
//
// It is a module of its own: what Prometheus needs must not decide what the platform is
// built with.
package alerts
