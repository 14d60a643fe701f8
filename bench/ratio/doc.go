// Package ratio measures a thing beside its limit or its peer, and prints one
// line a bar that anyone can read and a script can check:
//
//	ratio <name> <measured> bar <= <bound>
//	ratio <name> <measured> bar >= <bound>
//
// Bars are ratios and counts rather than times, because both sides of a ratio
// ran on the same machine at the same moment.
package ratio
