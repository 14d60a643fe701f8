// Package cluster provides what the end-to-end suite runs against: the platform as
// deployed in a cluster, and a namespace for each process of the suite.
//
// It is to a cluster what package testenv is to a pipeline in one process. A spec has
// the same steps: act, wait by a watch, flush, query once. Here the flush
// calls every pod of the Gateway and of SignalProcessing through the API
// server's pod proxy, and the query needs a token.
//
// One process calls [Prepare] and passes the result to the others, which call
// [Join]. It works with any cluster whose kubeconfig has full access; [Addresses]
// locate it.
package cluster
