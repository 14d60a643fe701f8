// Package pauses records on the trail who paused and resumed executions: in the cluster by the
// PauseSwitch, in a namespace by its label. It decides nothing: the executor reads both live.
package pauses
