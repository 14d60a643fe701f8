// Package integration holds the suites that run against real parts:
// PostgreSQL, kube-apiserver with etcd, and the platform's own services.
//
// Run it with `make test-integration`, in as many processes as you like: each
// has a namespace, a Gateway, a SignalProcessing and audit stores of its own
// in env (suite_test.go), and correlation ids are random. A spec file tests
// one area, for instance a call of DataStorage or a phase of processing, and
// begins with what its specs have in common:
//
//	var _ = Describe("severity", func() {
//		DescribeTable("is classified", func(ctx SpecContext, said string, want v1alpha1.Severity) {
//			rr := env.Request(env.CorrelationID())
//			rr.Spec.Severity = said
//			Expect(env.Create(ctx, rr)).To(Succeed())
//			Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
//			Expect(rr.Status.Severity).To(Equal(want))
//		},
//			Entry(nil, "page", v1alpha1.SeverityCritical),
//		)
//	})
//
// The rules: act, wait by a watch, flush, query once. No sleep, no polling, no
// Eventually around a query, no order among specs, no literal correlation ids.
// Specs that break things (restarts, database errors) make their own database
// (env.NewDatabase), DataStorage (env.NewDataStorage) or pipeline
// (env.NewPipeline). A failed spec prints the trails, resources and events of
// the correlation ids that it used; one that the Gateway made is named with
// env.Track.
package integration
