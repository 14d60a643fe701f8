// Package holds is the command that places, lists and releases legal holds, for people
// through the API server, and for holders of a token directly at DataStorage.
package holds
