package sha256lanes

import "golang.org/x/sys/cpu"

// supported: this processor, and the operating system, have what blocksAVX512 needs.
var supported = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL

// blocksTogether hashes the next blocks of each lane; blocks is at least 1.
func blocksTogether(state *[8][width]uint32, lanes *[width]*byte, blocks int) {
	blocksAVX512(state, lanes, blocks)
}

// blocksAVX512 reads blocks of 64 bytes from each lane on. The state has a word of each lane in a row.
//
//go:noescape
func blocksAVX512(state *[8][width]uint32, lanes *[width]*byte, blocks int)
