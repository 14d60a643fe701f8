//go:build integration

package integration_test

import (
	"encoding/json"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	datastorageapp "kubernaut.ai/services/datastorage/app"
)

var _ = Describe("DataStorage records who asks for an erasure", func() {
	It("with the UID and groups that the API server vouches for, as for holds", func(ctx SpecContext) {
		own := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth, o.RESTConfig = byCluster(), env.Config })
		writer, reader, eraser, id := newAccount(ctx, "writer"), newAccount(ctx, "reader"), newAccount(ctx, "eraser"), env.CorrelationID()
		writer.mayWrite(ctx, "gateway")
		reader.may(ctx, auditGroup, "events", "list")
		eraser.may(ctx, auditGroup, "erasures", "create")
		e := anEvent(id, nil)
		decoded[datastorage.EventCreated](storeCall(ctx, own.URL, http.MethodPost, storeEvents, bearing(writer.token(ctx)), encode(e)), http.StatusCreated)
		request := fields{"event_ids": wireIDs(e), "reason": "request 7 of a customer"}
		asked := decoded[datastorage.Erasure](storeCall(ctx, own.URL, http.MethodPost, "/api/v1/audit/erasures", bearing(eraser.token(ctx)), encode(request)), http.StatusAccepted)

		answer := storeCall(ctx, own.URL, http.MethodGet, storeEvents+"?correlation_id="+asked.ErasureId.String(), bearing(reader.token(ctx)), nil)
		events := decoded[datastorage.EventPage](answer, http.StatusOK).Data
		Expect(events).To(HaveLen(1))
		Expect(events[0].EventType).To(Equal("datastorage.erasure.requested"))
		Expect(events[0].ActorId).To(HaveValue(Equal(eraser.user())))
		var data struct {
			User struct {
				Name   string   `json:"name"`
				UID    string   `json:"uid"`
				Groups []string `json:"groups"`
			} `json:"user"`
		}
		Expect(json.Unmarshal(events[0].EventData, &data)).To(Succeed())
		Expect(data.User.Name).To(Equal(eraser.user()))
		Expect(data.User.UID).To(Equal(string(eraser.UID)))
		Expect(data.User.Groups).To(ContainElements("system:serviceaccounts", "system:authenticated"))
	}, SpecTimeout(specTimeout))
})
