// Package testenv provides what the suites run against: PostgreSQL, a Kubernetes
// API server, DataStorage, and a separate pipeline for each process.
//
// One process of a suite starts the shared servers with [Start] and passes their
// addresses to the others, which call [Join]. The [Env] of each process has a
// namespace, and a Gateway and a SignalProcessing that work in that namespace only,
// each with an audit store. So no process sees the objects, the events or the
// buffers of another.
//
// Package cluster does the same with a platform that is deployed in a cluster.
//
// [Env.NewWorkload] puts pods in front of services: the API server's proxy of a pod
// forwards to the service, so that it can be flushed as in a cluster.
//
// A spec acts, waits with [WaitFor], which watches and does not poll, and then reads the trail with [Env.AuditTrail]: every
// service that may have a pending part of it is flushed, and it is queried once.
// There is nothing to retry: an observed status implies that its event was
// accepted, and the flush proves that the event is stored. The matchers of
// pkg/audittrail/trailtest check the trail.
//
//	id := env.CorrelationID()
//	rr := env.Request(id)
//	Expect(env.Create(ctx, rr)).To(Succeed())
//	Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
//	trail, err := env.AuditTrail(ctx, id)
//	Expect(err).NotTo(HaveOccurred())
//	Expect(trail).To(trailtest.HaveAudited("signalprocessing.classification.decision",
//		trailtest.WithData("severity.value", "critical")))
package testenv
