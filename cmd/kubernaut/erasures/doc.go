// Package erasures is the command that finds events to erase, asks for their erasure and shows
// what became of it, for people through the API server, and for holders of a token directly at
// DataStorage.
package erasures
