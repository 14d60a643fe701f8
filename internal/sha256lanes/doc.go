// Package sha256lanes computes many SHA-256 sums together. A processor without instructions for SHA-256 but with
// AVX-512 computes eight of them in little more than the time that one takes; on every other one the sums come from
// crypto/sha256, one after the other.
package sha256lanes
