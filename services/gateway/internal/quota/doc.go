// Package quota bounds how many requests are open: for each sender, for each
// namespace and in all. Without a bound, a sender that makes a new problem with
// every alert fills the cluster's etcd within minutes.
//
// The open requests are counted as the informer reports them, and the ones that
// this replica is opening as long as the informer has not. Counting costs the
// same however many requests there are. Other replicas' requests count once the
// informer has them, so replicas may exceed a bound by what they open meanwhile.
package quota
