//go:build e2e

package e2e_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/test/testenv"
)

// docs/testing-with-testenv.md quotes this spec.
var _ = Describe("guide to testenv", func() {
	It("takes a signal to its classification", func(ctx SpecContext) {
		rr := fire(ctx, podAlert())
		classified(ctx, rr)
		Expect(audited(ctx, rr.Name)).To(testenv.BeProcessed(signalReceived, requestCreated))
	}, SpecTimeout(specTimeout))
})
