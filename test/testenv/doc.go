// Package testenv is what the suites run on: PostgreSQL, a Kubernetes API
// server, DataStorage, and for each process a pipeline of its own.
//
// One process of a suite starts what all share, see [Start], and hands its
// addresses to the others, which [Join] it. What each process has for itself
// is in its [Env]: a namespace, a Gateway and a SignalProcessing that work in
// that namespace alone, each with an audit store. So no process meets the
// objects, the events or the buffers of another.
//
// Package cluster does the same with a platform that is deployed in a cluster.
//
// Services can stand behind pods, see [Env.NewWorkload]: the API server's proxy
// of a pod leads to the service, so that it can be flushed as in a cluster.
//
// A spec acts, waits for what it expects to see with [WaitFor], which watches
// and does not poll, and then reads the trail with [Env.AuditTrail]: every
// service that may owe a part of it is flushed, and it is queried once. There
// is nothing to retry: whoever has seen a status knows that its event was
// accepted, and the flush proves that it is stored.
//
//	id := env.CorrelationID()
//	rr := env.Request(id)
//	Expect(env.Create(ctx, rr)).To(Succeed())
//	Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
//	trail, err := env.AuditTrail(ctx, id)
//	Expect(err).NotTo(HaveOccurred())
//	Expect(trail).To(testenv.HaveAudited("signalprocessing.classification.decision",
//		testenv.Data("severity.value", Equal("critical"))))
package testenv
