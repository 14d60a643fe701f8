// Package reminder reminds people of proposals that wait for them: by a Kubernetes event, in the
// metrics, and by an alert that is posted to Alertmanager.
package reminder
