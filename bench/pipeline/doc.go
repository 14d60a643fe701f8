// Command pipeline measures the services that handle signals, on a real kube-apiserver and
// PostgreSQL, against their bars.
//
// Families of bars:
//
//	policy      the evaluation of policies beside the bare queries of OPA
//	processing  SignalProcessing beside a controller that does nothing but write a status seven times
//	gateway     the Gateway beside a bare server of duplicates and bare creations, and its peak memory
//	flood       one sender makes thousands of problems: objects, another sender's wait, and what is left in the end
//
// It prints absolute figures and one line a bar (see package ratio), and exits with 1 when
// a bar was missed. The variable SCALE is small (the default) or full.
package main
