// Eight SHA-256 computations side by side (FIPS 180-4, section 6.2): each register of eight words has a word of each lane.

#include "textflag.h"

// Y0 to Y7 hold the working variables a to h, Y16 to Y31 the schedule's last sixteen words, Y8 to Y14 what is in
// between, and Y15 the order that makes big endian words little endian.

// LOAD makes four words of the schedule of 16 bytes of each lane.
#define LOAD(off, w0, w1, w2, w3) \
	VMOVDQU     off(AX)(R12*1), X8; \
	VMOVDQU     off(BX)(R12*1), X9; \
	VMOVDQU     off(CX)(R12*1), X10; \
	VMOVDQU     off(DX)(R12*1), X11; \
	VINSERTI128 $1, off(SI)(R12*1), Y8, Y8; \
	VINSERTI128 $1, off(DI)(R12*1), Y9, Y9; \
	VINSERTI128 $1, off(R8)(R12*1), Y10, Y10; \
	VINSERTI128 $1, off(R9)(R12*1), Y11, Y11; \
	VPSHUFB     Y15, Y8, Y8; \
	VPSHUFB     Y15, Y9, Y9; \
	VPSHUFB     Y15, Y10, Y10; \
	VPSHUFB     Y15, Y11, Y11; \
	VPUNPCKLDQ  Y9, Y8, Y12; \
	VPUNPCKHDQ  Y9, Y8, Y13; \
	VPUNPCKLDQ  Y11, Y10, Y14; \
	VPUNPCKHDQ  Y11, Y10, Y8; \
	VPUNPCKLQDQ Y14, Y12, w0; \
	VPUNPCKHQDQ Y14, Y12, w1; \
	VPUNPCKLQDQ Y8, Y13, w2; \
	VPUNPCKHQDQ Y8, Y13, w3

// ROUND is one of the 64 steps. Afterwards h is the next a, and d the next e.
#define ROUND(a, b, c, d, e, f, g, h, w, k) \
	VPADDD.BCST k(R11), w, Y8; \
	VPRORD      $6, e, Y9; \
	VPRORD      $11, e, Y10; \
	VPRORD      $25, e, Y11; \
	VMOVDQA     e, Y12; \
	VPADDD      Y8, h, h; \
	VPTERNLOGD  $0xca, g, f, Y12; \
	VPTERNLOGD  $0x96, Y11, Y10, Y9; \
	VPADDD      Y12, h, h; \
	VPRORD      $2, a, Y13; \
	VPRORD      $13, a, Y10; \
	VPRORD      $22, a, Y11; \
	VMOVDQA     a, Y14; \
	VPADDD      Y9, h, h; \
	VPTERNLOGD  $0xe8, c, b, Y14; \
	VPTERNLOGD  $0x96, Y11, Y10, Y13; \
	VPADDD      h, d, d; \
	VPADDD      Y14, Y13, Y13; \
	VPADDD      Y13, h, h

// NEXT replaces a word of the schedule by the one sixteen words on.
#define NEXT(w0, w1, w9, w14) \
	VPRORD     $7, w1, Y8; \
	VPRORD     $18, w1, Y9; \
	VPSRLD     $3, w1, Y10; \
	VPRORD     $17, w14, Y11; \
	VPRORD     $19, w14, Y12; \
	VPSRLD     $10, w14, Y13; \
	VPTERNLOGD $0x96, Y10, Y9, Y8; \
	VPTERNLOGD $0x96, Y13, Y12, Y11; \
	VPADDD     w9, w0, w0; \
	VPADDD     Y11, Y8, Y8; \
	VPADDD     Y8, w0, w0

// ADD adds a working variable to the state.
#define ADD(off, y) \
	VPADDD  off(R10), y, y; \
	VMOVDQU y, off(R10)

// func blocksAVX512(state *[8][8]uint32, lanes *[8]*byte, blocks int)
TEXT ·blocksAVX512(SB), NOSPLIT, $0-24
	MOVQ    state+0(FP), R10
	MOVQ    lanes+8(FP), R13
	MOVQ    0(R13), AX
	MOVQ    8(R13), BX
	MOVQ    16(R13), CX
	MOVQ    24(R13), DX
	MOVQ    32(R13), SI
	MOVQ    40(R13), DI
	MOVQ    48(R13), R8
	MOVQ    56(R13), R9
	XORQ    R12, R12
	VMOVDQU swap<>(SB), Y15
	VMOVDQU 0(R10), Y0
	VMOVDQU 32(R10), Y1
	VMOVDQU 64(R10), Y2
	VMOVDQU 96(R10), Y3
	VMOVDQU 128(R10), Y4
	VMOVDQU 160(R10), Y5
	VMOVDQU 192(R10), Y6
	VMOVDQU 224(R10), Y7

block:
	LOAD(0, Y16, Y17, Y18, Y19)
	LOAD(16, Y20, Y21, Y22, Y23)
	LOAD(32, Y24, Y25, Y26, Y27)
	LOAD(48, Y28, Y29, Y30, Y31)
	LEAQ constants<>(SB), R11
	MOVQ $3, R13

rounds:
	ROUND(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y16, 0)
	NEXT(Y16, Y17, Y25, Y30)
	ROUND(Y7, Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y17, 4)
	NEXT(Y17, Y18, Y26, Y31)
	ROUND(Y6, Y7, Y0, Y1, Y2, Y3, Y4, Y5, Y18, 8)
	NEXT(Y18, Y19, Y27, Y16)
	ROUND(Y5, Y6, Y7, Y0, Y1, Y2, Y3, Y4, Y19, 12)
	NEXT(Y19, Y20, Y28, Y17)
	ROUND(Y4, Y5, Y6, Y7, Y0, Y1, Y2, Y3, Y20, 16)
	NEXT(Y20, Y21, Y29, Y18)
	ROUND(Y3, Y4, Y5, Y6, Y7, Y0, Y1, Y2, Y21, 20)
	NEXT(Y21, Y22, Y30, Y19)
	ROUND(Y2, Y3, Y4, Y5, Y6, Y7, Y0, Y1, Y22, 24)
	NEXT(Y22, Y23, Y31, Y20)
	ROUND(Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y0, Y23, 28)
	NEXT(Y23, Y24, Y16, Y21)
	ROUND(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y24, 32)
	NEXT(Y24, Y25, Y17, Y22)
	ROUND(Y7, Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y25, 36)
	NEXT(Y25, Y26, Y18, Y23)
	ROUND(Y6, Y7, Y0, Y1, Y2, Y3, Y4, Y5, Y26, 40)
	NEXT(Y26, Y27, Y19, Y24)
	ROUND(Y5, Y6, Y7, Y0, Y1, Y2, Y3, Y4, Y27, 44)
	NEXT(Y27, Y28, Y20, Y25)
	ROUND(Y4, Y5, Y6, Y7, Y0, Y1, Y2, Y3, Y28, 48)
	NEXT(Y28, Y29, Y21, Y26)
	ROUND(Y3, Y4, Y5, Y6, Y7, Y0, Y1, Y2, Y29, 52)
	NEXT(Y29, Y30, Y22, Y27)
	ROUND(Y2, Y3, Y4, Y5, Y6, Y7, Y0, Y1, Y30, 56)
	NEXT(Y30, Y31, Y23, Y28)
	ROUND(Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y0, Y31, 60)
	NEXT(Y31, Y16, Y24, Y29)
	ADDQ $64, R11
	DECQ R13
	JNZ  rounds
	ROUND(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y16, 0)
	ROUND(Y7, Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y17, 4)
	ROUND(Y6, Y7, Y0, Y1, Y2, Y3, Y4, Y5, Y18, 8)
	ROUND(Y5, Y6, Y7, Y0, Y1, Y2, Y3, Y4, Y19, 12)
	ROUND(Y4, Y5, Y6, Y7, Y0, Y1, Y2, Y3, Y20, 16)
	ROUND(Y3, Y4, Y5, Y6, Y7, Y0, Y1, Y2, Y21, 20)
	ROUND(Y2, Y3, Y4, Y5, Y6, Y7, Y0, Y1, Y22, 24)
	ROUND(Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y0, Y23, 28)
	ROUND(Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y24, 32)
	ROUND(Y7, Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y25, 36)
	ROUND(Y6, Y7, Y0, Y1, Y2, Y3, Y4, Y5, Y26, 40)
	ROUND(Y5, Y6, Y7, Y0, Y1, Y2, Y3, Y4, Y27, 44)
	ROUND(Y4, Y5, Y6, Y7, Y0, Y1, Y2, Y3, Y28, 48)
	ROUND(Y3, Y4, Y5, Y6, Y7, Y0, Y1, Y2, Y29, 52)
	ROUND(Y2, Y3, Y4, Y5, Y6, Y7, Y0, Y1, Y30, 56)
	ROUND(Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y0, Y31, 60)
	ADD(0, Y0)
	ADD(32, Y1)
	ADD(64, Y2)
	ADD(96, Y3)
	ADD(128, Y4)
	ADD(160, Y5)
	ADD(192, Y6)
	ADD(224, Y7)
	ADDQ $64, R12
	DECQ blocks+16(FP)
	JNZ  block
	VZEROUPPER
	RET

DATA constants<>+0x000(SB)/4, $0x428a2f98
DATA constants<>+0x004(SB)/4, $0x71374491
DATA constants<>+0x008(SB)/4, $0xb5c0fbcf
DATA constants<>+0x00c(SB)/4, $0xe9b5dba5
DATA constants<>+0x010(SB)/4, $0x3956c25b
DATA constants<>+0x014(SB)/4, $0x59f111f1
DATA constants<>+0x018(SB)/4, $0x923f82a4
DATA constants<>+0x01c(SB)/4, $0xab1c5ed5
DATA constants<>+0x020(SB)/4, $0xd807aa98
DATA constants<>+0x024(SB)/4, $0x12835b01
DATA constants<>+0x028(SB)/4, $0x243185be
DATA constants<>+0x02c(SB)/4, $0x550c7dc3
DATA constants<>+0x030(SB)/4, $0x72be5d74
DATA constants<>+0x034(SB)/4, $0x80deb1fe
DATA constants<>+0x038(SB)/4, $0x9bdc06a7
DATA constants<>+0x03c(SB)/4, $0xc19bf174
DATA constants<>+0x040(SB)/4, $0xe49b69c1
DATA constants<>+0x044(SB)/4, $0xefbe4786
DATA constants<>+0x048(SB)/4, $0x0fc19dc6
DATA constants<>+0x04c(SB)/4, $0x240ca1cc
DATA constants<>+0x050(SB)/4, $0x2de92c6f
DATA constants<>+0x054(SB)/4, $0x4a7484aa
DATA constants<>+0x058(SB)/4, $0x5cb0a9dc
DATA constants<>+0x05c(SB)/4, $0x76f988da
DATA constants<>+0x060(SB)/4, $0x983e5152
DATA constants<>+0x064(SB)/4, $0xa831c66d
DATA constants<>+0x068(SB)/4, $0xb00327c8
DATA constants<>+0x06c(SB)/4, $0xbf597fc7
DATA constants<>+0x070(SB)/4, $0xc6e00bf3
DATA constants<>+0x074(SB)/4, $0xd5a79147
DATA constants<>+0x078(SB)/4, $0x06ca6351
DATA constants<>+0x07c(SB)/4, $0x14292967
DATA constants<>+0x080(SB)/4, $0x27b70a85
DATA constants<>+0x084(SB)/4, $0x2e1b2138
DATA constants<>+0x088(SB)/4, $0x4d2c6dfc
DATA constants<>+0x08c(SB)/4, $0x53380d13
DATA constants<>+0x090(SB)/4, $0x650a7354
DATA constants<>+0x094(SB)/4, $0x766a0abb
DATA constants<>+0x098(SB)/4, $0x81c2c92e
DATA constants<>+0x09c(SB)/4, $0x92722c85
DATA constants<>+0x0a0(SB)/4, $0xa2bfe8a1
DATA constants<>+0x0a4(SB)/4, $0xa81a664b
DATA constants<>+0x0a8(SB)/4, $0xc24b8b70
DATA constants<>+0x0ac(SB)/4, $0xc76c51a3
DATA constants<>+0x0b0(SB)/4, $0xd192e819
DATA constants<>+0x0b4(SB)/4, $0xd6990624
DATA constants<>+0x0b8(SB)/4, $0xf40e3585
DATA constants<>+0x0bc(SB)/4, $0x106aa070
DATA constants<>+0x0c0(SB)/4, $0x19a4c116
DATA constants<>+0x0c4(SB)/4, $0x1e376c08
DATA constants<>+0x0c8(SB)/4, $0x2748774c
DATA constants<>+0x0cc(SB)/4, $0x34b0bcb5
DATA constants<>+0x0d0(SB)/4, $0x391c0cb3
DATA constants<>+0x0d4(SB)/4, $0x4ed8aa4a
DATA constants<>+0x0d8(SB)/4, $0x5b9cca4f
DATA constants<>+0x0dc(SB)/4, $0x682e6ff3
DATA constants<>+0x0e0(SB)/4, $0x748f82ee
DATA constants<>+0x0e4(SB)/4, $0x78a5636f
DATA constants<>+0x0e8(SB)/4, $0x84c87814
DATA constants<>+0x0ec(SB)/4, $0x8cc70208
DATA constants<>+0x0f0(SB)/4, $0x90befffa
DATA constants<>+0x0f4(SB)/4, $0xa4506ceb
DATA constants<>+0x0f8(SB)/4, $0xbef9a3f7
DATA constants<>+0x0fc(SB)/4, $0xc67178f2
GLOBL constants<>(SB), RODATA|NOPTR, $256

DATA swap<>+0x00(SB)/8, $0x0405060700010203
DATA swap<>+0x08(SB)/8, $0x0c0d0e0f08090a0b
DATA swap<>+0x10(SB)/8, $0x0405060700010203
DATA swap<>+0x18(SB)/8, $0x0c0d0e0f08090a0b
GLOBL swap<>(SB), RODATA|NOPTR, $32
