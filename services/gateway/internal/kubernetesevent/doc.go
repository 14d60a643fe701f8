// Package kubernetesevent is the adapter for the events of Kubernetes: [Parse]
// makes a signal of a v1 Event or an events.k8s.io/v1 Event.
//
// The object that the event is about is the signal's target, and the event's
// reason its name: the same reason at the pods of one workload is one problem.
package kubernetesevent
