// Package integration contains the suites that run against real servers: PostgreSQL,
// kube-apiserver with etcd, and the platform's own services.
//
// `make test-integration` runs it in any number of processes: env (suite_test.go) has
// a namespace, a Gateway, a SignalProcessing and audit stores for each of them, and
// correlation ids are random. A spec file tests one area, for instance an operation of
// DataStorage or a phase of processing:
//
//	var _ = Describe("severity", func() {
//		DescribeTable("is classified", func(ctx SpecContext, severity string, want v1alpha1.Severity) {
//			rr := env.Request(env.CorrelationID())
//			rr.Spec.Severity = severity
//			Expect(env.Create(ctx, rr)).To(Succeed())
//			Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
//			Expect(rr.Status.Severity).To(Equal(want))
//		},
//			Entry(nil, "page", v1alpha1.SeverityCritical),
//		)
//	})
//
// The rules: act, wait by a watch, flush, query once. No sleep, no polling, no
// Eventually around a query, no order among specs, no literal correlation ids.
// Disruptive specs (restarts, database errors) make their own database
// (env.NewDatabase), DataStorage (env.NewDataStorage) or pipeline
// (env.NewPipeline). A failed spec prints the trails, resources and events of
// the correlation ids that it used; env.Track adds one that the Gateway made.
package integration
