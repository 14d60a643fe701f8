//go:build !amd64

package sha256lanes

// supported: there are no lanes on this architecture, where crypto/sha256 uses the processor's own instructions.
const supported = false

// blocksTogether is not called.
func blocksTogether(*[8][width]uint32, *[width]*byte, int) {}
