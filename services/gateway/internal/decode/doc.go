// Package decode has what adapters share for reading JSON: which texts are
// accepted, and how an error is explained to the sender.
package decode
