// Package cluster is what the suite of a whole cluster runs on: the platform,
// as it is deployed there, and for each process of the suite a namespace.
//
// It is to a cluster what package testenv is to a pipeline of one process, and
// has the same chain: act, wait by a watch, flush, query once. Here the flush
// reaches every pod of the Gateway and of SignalProcessing through the API
// server's pod proxy, and the query shows DataStorage a token.
//
// One process prepares what all share, see [Prepare], and hands it to the
// others, which [Join]. It works with any cluster whose kubeconfig may do
// everything; [Places] says where it looks.
package cluster
