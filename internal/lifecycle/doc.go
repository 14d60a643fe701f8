// Package lifecycle starts and stops programs: the parts of one in order
// (Run), a whole one inside another (Start), and the wait for what a program
// depends on (Wait).
package lifecycle
