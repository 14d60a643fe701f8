// Package cleanup is the program of the shipped workflow clean-finished-jobs: it deletes
// finished Jobs of one namespace that are older than a given age.
//
// It leaves alone what somebody would create again or still needs: Jobs of a controller
// other than a CronJob, Jobs whose manifest Argo CD or Flux applies, and Jobs with the
// annotation kubernaut.ai/keep. A Job that changes while the program runs is kept, too.
package cleanup
