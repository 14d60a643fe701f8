//go:build e2e

package e2e_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
)

const (
	legalHolds = "/api/v1/audit/legal-hold"
	erasures   = "/api/v1/audit/erasures"
)

// document is the part of an OpenAPI document that this suite reads.
type document struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Parameters  []struct {
			Name string `json:"name"`
			In   string `json:"in"`
		} `json:"parameters"`
		Responses map[string]any `json:"responses"`
	} `json:"paths"`
}

var _ = Describe("DataStorage's document", func() {
	It("lists no operation and no parameter that the deployed service does not have", func(ctx SpecContext) {
		id := env.CorrelationID()
		answer := reader().call(ctx, http.MethodGet, "/openapi.json", nil, nil)
		Expect(answer.code).To(Equal(http.StatusOK), "%s", answer.body)
		var served document
		Expect(json.Unmarshal(answer.body, &served)).To(Succeed())

		known := anEvent(id, func(e *datastorage.AuditEvent) {
			e.EventOutcome, e.Severity, e.ActorId, e.ResourceType, e.ResourceId = datastorage.Success, new("high"), new("alice"), new("Pod"), new("web")
			e.ActorType, e.ErrorCode, e.ParentEventId = new("user"), new("E1"), new(uuid.New())
			e.ProducerId, e.ProducerEpoch, e.ProducerSeq = new(id), new(int64(1)), new(int64(1))
			e.Namespace, e.ClusterId, e.EventData = new("shop"), new("blue"), json.RawMessage(`{"kind":"Pod"}`)
		})
		stored := writer().store(ctx, known, anEvent(id, nil))
		found := reader().call(ctx, http.MethodGet, storeEvents+"/"+sentIDs(known)[0], nil, nil)
		recorder := decoded[datastorage.StoredEvent](found, http.StatusOK).RecordedBy
		page := decoded[datastorage.EventPage](reader().find(ctx, "correlation_id", id, "limit", "1"), http.StatusOK)

		// The bodies and required parameters of the operations.
		calls := map[string]func() storageAnswer{
			"createEvent": func() storageAnswer {
				return writer().call(ctx, http.MethodPost, storeEvents, contentJSON(), encode(anEvent(id, nil)))
			},
			"createEventsBatch": func() storageAnswer {
				return writer().call(ctx, http.MethodPost, storeBatch, contentJSON(), encode([]any{anEvent(id, nil)}))
			},
			"listEvents": func() storageAnswer { return reader().find(ctx, "correlation_id", id) },
			"getEventStats": func() storageAnswer {
				return reader().call(ctx, http.MethodGet, storeEvents+"/stats", nil, nil)
			},
			"getEvent": func() storageAnswer {
				return reader().call(ctx, http.MethodGet, storeEvents+"/"+sentIDs(known)[0], nil, nil)
			},
			// Nobody has acknowledged anything here.
			"getAcknowledgement": func() storageAnswer {
				return writer().call(ctx, http.MethodGet, "/api/v1/audit/acknowledgements/"+uuid.NewString(), nil, nil)
			},
			"listEventSchemas": func() storageAnswer {
				return reader().call(ctx, http.MethodGet, "/api/v1/audit/event-schemas", nil, nil)
			},
			"getEventSchema": func() storageAnswer {
				return reader().call(ctx, http.MethodGet, "/api/v1/audit/event-schemas/gateway.signal.received", nil, nil)
			},
			"reconstructRemediationRequest": func() storageAnswer {
				return reader().call(ctx, http.MethodPost, "/api/v1/audit/remediation-requests/"+id+"/reconstruct", nil, nil)
			},
			"placeLegalHold": func() storageAnswer {
				return holder().call(ctx, http.MethodPost, legalHolds, contentJSON(), encode(datastorage.LegalHoldRequest{CorrelationId: &id, Reason: "tried by a test"}))
			},
			"listLegalHolds": func() storageAnswer { return holder().call(ctx, http.MethodGet, legalHolds, nil, nil) },
			// Nobody has placed a hold with this name.
			"getLegalHolds": func() storageAnswer {
				return holder().call(ctx, http.MethodGet, legalHolds+"/"+uuid.NewString(), nil, nil)
			},
			"releaseLegalHold": func() storageAnswer {
				return holder().call(ctx, http.MethodDelete, legalHolds+"/"+uuid.NewString()+"?reason=tried", nil, nil)
			},
			"requestErasure": func() storageAnswer {
				// The calls come in any order, and id may be on hold.
				erased := writer().store(ctx, anEvent(env.CorrelationID(), nil)).EventIds
				return eraser().call(ctx, http.MethodPost, erasures, contentJSON(), encode(datastorage.ErasureRequest{EventIds: erased, Reason: "tried by a test"}))
			},
			"previewErasure": func() storageAnswer {
				return eraser().call(ctx, http.MethodPost, erasures+"/preview", contentJSON(), encode(datastorage.ErasurePreviewRequest{Filter: datastorage.EventFilter{"correlation_id": id}}))
			},
			"listErasures": func() storageAnswer { return eraser().call(ctx, http.MethodGet, erasures, nil, nil) },
			// Nobody has asked for it.
			"getErasure": func() storageAnswer {
				return eraser().call(ctx, http.MethodGet, erasures+"/"+uuid.NewString(), nil, nil)
			},
			"getOpenAPI": func() storageAnswer { return answer },
		}
		// A value for each query parameter that matches the stored event.
		values := map[string][]string{
			"event_type": {known.EventType}, "event_category": {known.EventCategory}, "event_action": {known.EventAction},
			"event_outcome": {"success"}, "severity": {"high"}, "correlation_id": {id}, "actor_id": {"alice"},
			"actor_type": {"user"}, "recorded_by": {*recorder}, "producer_id": {id}, "error_code": {"E1"}, "parent_event_id": {known.ParentEventId.String()},
			"resource_type": {"Pod"}, "resource_id": {"web"}, "namespace": {"shop"}, "cluster_id": {"blue"}, "since": {"1h"},
			"until": {known.EventTimestamp.AddDate(0, 0, 2).Format("2006-01-02")}, "order": {"desc"}, "limit": {"1000"}, "offset": {"0"},
			"detail_key": {"kind", "detail_value", "Pod"}, "detail_value": {"Pod", "detail_key", "kind"}, "at_least": {stored.ConsistencyToken},
			"cursor": {*page.Pagination.NextCursor},
		}
		for path, methods := range served.Paths {
			for method, operation := range methods {
				By(method + " " + path)
				call := calls[operation.OperationID]
				Expect(call).NotTo(BeNil(), "operation %s has no call here", operation.OperationID)
				delete(calls, operation.OperationID)
				Expect(operation.Responses).To(HaveKey(strconv.Itoa(call().code)))
				want := BeNumerically("<", http.StatusMultipleChoices)
				if slices.Contains([]string{"getAcknowledgement", "getLegalHolds", "releaseLegalHold", "getErasure"}, operation.OperationID) {
					want = BeNumerically("==", http.StatusNotFound)
				}
				Expect(call().code).To(want, "%s", call().body)
				for _, parameter := range operation.Parameters {
					if parameter.In != "query" || operation.OperationID != "listEvents" {
						continue
					}
					By("with parameter " + parameter.Name)
					Expect(values).To(HaveKey(parameter.Name))
					query := append([]string{parameter.Name}, values[parameter.Name]...)
					switch parameter.Name {
					case "cursor": // valid only with the filters that it was made for
						query = append(query, "correlation_id", id, "limit", "1")
						found := decoded[datastorage.EventPage](reader().find(ctx, query...), http.StatusOK)
						Expect(found.Data).NotTo(BeEmpty())
						continue
					case "correlation_id":
					default:
						query = append(query, "correlation_id", id)
					}
					found := decoded[datastorage.EventPage](reader().find(ctx, query...), http.StatusOK)
					Expect(idsOf(found.Data)).To(ContainElements(sentIDs(known)))
				}
			}
		}
		Expect(calls).To(BeEmpty(), "the document does not list these")
	}, SpecTimeout(specTimeout))
})
