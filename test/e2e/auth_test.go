//go:build e2e

package e2e_test

import (
	"context"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv/cluster"
)

// call is a request that requires a permission.
type call struct {
	name string
	do   func(context.Context, cluster.Token) storageAnswer
	// allowed selects a token with the permission; code is the response to it.
	allowed func(cluster.Tokens) cluster.Token
	code    int
	// resource and verb are named in the response to others, with the namespace.
	resource, verb string
	// where is the namespace in which callers need the permission; nil means the platform's.
	where func() string
}

var calls = []call{
	{
		name: "the Gateway's webhook", code: http.StatusCreated, resource: "signals", verb: "create",
		where:   func() string { return env.Namespace },
		allowed: func(t cluster.Tokens) cluster.Token { return t.Sender },
		do: func(ctx context.Context, token cluster.Token) storageAnswer {
			to := storage{env.GatewayURL, token}
			return to.call(ctx, http.MethodPost, alertmanager.Path, alertmanager.JSON(), alertBody(alertmanager.Firing, podAlert()))
		},
	},
	{
		name: "DataStorage's query", code: http.StatusOK, resource: "events", verb: "list",
		allowed: func(t cluster.Tokens) cluster.Token { return t.Reader },
		do: func(ctx context.Context, token cluster.Token) storageAnswer {
			return storage{env.DataStorageURL, token}.find(ctx, "correlation_id", env.CorrelationID())
		},
	},
	{
		name: "DataStorage's read of one event", code: http.StatusNotFound, resource: "events", verb: "get",
		allowed: func(t cluster.Tokens) cluster.Token { return t.Reader },
		do: func(ctx context.Context, token cluster.Token) storageAnswer {
			path := storeEvents + "/" + sentIDs(anEvent("rr", nil))[0]
			return storage{env.DataStorageURL, token}.call(ctx, http.MethodGet, path, nil, nil)
		},
	},
	{
		name: "DataStorage's batch", code: http.StatusCreated, resource: "events", verb: "create",
		allowed: func(t cluster.Tokens) cluster.Token { return t.Writer },
		do: func(ctx context.Context, token cluster.Token) storageAnswer {
			batch := encode([]datastorage.AuditEvent{anEvent(env.CorrelationID(), nil)})
			return storage{env.DataStorageURL, token}.call(ctx, http.MethodPost, storeBatch, contentJSON(), batch)
		},
	},
}

var _ = Describe("a caller", func() {
	for _, c := range calls {
		It("is authenticated by "+c.name, func(ctx SpecContext) {
			for name, token := range map[string]cluster.Token{
				"nobody": "", "who invents a token": "no.such.token", "who shows one for others": env.Tokens.Foreign,
				"who shows one for the API server": env.Tokens.APIServer,
			} {
				By("rejecting " + name)
				answer := c.do(ctx, token)
				decoded[datastorage.Problem](answer, http.StatusUnauthorized)
				Expect(answer.header.Get("WWW-Authenticate")).To(HavePrefix("Bearer"))
			}
		}, SpecTimeout(specTimeout))

		It("needs the permission for "+c.name, func(ctx SpecContext) {
			mine := c.allowed(env.Tokens)
			for _, token := range []cluster.Token{env.Tokens.Nobody, env.Tokens.Reader, env.Tokens.Writer, env.Tokens.Sender} {
				answer := c.do(ctx, token)
				if token == mine {
					Expect(answer.code).To(Equal(c.code), "%s", answer.body)
					continue
				}
				where := cluster.System
				if c.where != nil {
					where = c.where()
				}
				problem := decoded[datastorage.Problem](answer, http.StatusForbidden)
				Expect(problem.Detail).To(HaveValue(SatisfyAll(
					ContainSubstring(c.verb), ContainSubstring(c.resource), ContainSubstring("namespace "+where))), "what is missing")
			}
		}, SpecTimeout(specTimeout))
	}

	It("may use a token for DataStorage's own audience", func(ctx SpecContext) {
		answer := storage{env.DataStorageURL, env.Tokens.ForDataStorage}.find(ctx, "correlation_id", env.CorrelationID())
		Expect(answer.code).To(Equal(http.StatusOK), "%s", answer.body)
		answer = storage{env.GatewayURL, env.Tokens.ForDataStorage}.call(ctx, http.MethodPost, alertmanager.Path, alertmanager.JSON(), nil)
		Expect(answer.code).To(Equal(http.StatusUnauthorized), "%s", answer.body)
	}, SpecTimeout(specTimeout))
})

var _ = Describe("management ports", func() {
	It("are reached through no Service that a node opens", func(ctx SpecContext) {
		var services corev1.ServiceList
		Expect(env.List(ctx, &services, client.InNamespace(cluster.System))).To(Succeed())
		opened := 0
		for i := range services.Items {
			spec := &services.Items[i].Spec
			if spec.Type != corev1.ServiceTypeNodePort && spec.Type != corev1.ServiceTypeLoadBalancer {
				continue
			}
			for _, port := range spec.Ports {
				opened++
				Expect(port.Name).NotTo(Equal("management"), services.Items[i].Name)
				// A node opens all ports of a Service; aggregated serves nobody without the certificate of the API server.
				Expect(port.TargetPort.String()).To(Or(Equal("api"), Equal("aggregated")), services.Items[i].Name)
			}
		}
		Expect(opened).To(BeNumerically(">", 0))
	}, SpecTimeout(specTimeout))

	DescribeTable("serve nothing at the address of the API", func(ctx SpecContext, method, path string) {
		for _, to := range []storage{
			{env.GatewayURL, ""}, {env.GatewayURL, env.Tokens.Sender}, {env.DataStorageURL, ""}, {env.DataStorageURL, env.Tokens.Reader},
		} {
			answer := to.call(ctx, method, path, nil, nil)
			Expect(answer.code).To(Or(Equal(http.StatusNotFound), Equal(http.StatusUnauthorized)), "%s", answer.body)
		}
	},
		Entry("of metrics", http.MethodGet, "/metrics", SpecTimeout(specTimeout)),
		Entry("of a flush", http.MethodPost, "/audit/flush", SpecTimeout(specTimeout)),
	)
})
