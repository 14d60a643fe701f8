//go:build integration

package integration_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/cli"
)

const (
	storeHolds    = "/api/v1/audit/legal-hold"
	storeErasures = "/api/v1/audit/erasures"
)

// listed is a page of a list of DataStorage.
type listed struct {
	ids  []string
	next string
}

// list reads a page; parameters come in pairs of name and value.
func list(ctx context.Context, base, path string, parameters ...string) listed {
	GinkgoHelper()
	query := url.Values{}
	for i := 0; i+1 < len(parameters); i += 2 {
		query.Add(parameters[i], parameters[i+1])
	}
	answer := storeCall(ctx, base, http.MethodGet, path+"?"+query.Encode(), nil, nil)
	found := decoded[struct {
		Holds []struct {
			ID string `json:"hold_id"`
		} `json:"legal_holds"`
		Erasures []struct {
			ID string `json:"erasure_id"`
		} `json:"erasures"`
		HasMore bool   `json:"has_more"`
		Next    string `json:"next_cursor"`
	}](answer, http.StatusOK)
	Expect(found.HasMore).To(Equal(found.Next != ""))
	page := listed{next: found.Next}
	for _, h := range found.Holds {
		page.ids = append(page.ids, h.ID)
	}
	for _, e := range found.Erasures {
		page.ids = append(page.ids, e.ID)
	}
	return page
}

// Several rows have the same time, and some a time that no program writes.
var timesOfRows = []string{
	"2026-03-04 05:06:07.000008Z", "2026-03-04 05:06:07.000008Z", "2026-03-04 05:06:07.000008Z", "2026-03-04 05:06:07.000009Z", "2026-03-04 05:06:07.000007Z",
	"infinity", "infinity", "20000-01-01", "-infinity", "-infinity", "0100-01-01 BC",
}

var _ = Describe("DataStorage lists", func() {
	DescribeTable("go on with the cursor of a page, also while rows are added", func(ctx SpecContext, path, insert string) {
		store := ownStore(ctx, nil)
		conn := connect(ctx, store.DatabaseURL())
		correlation := env.CorrelationID()
		add := func(at string) string {
			id := uuid.NewString()
			_, err := conn.Exec(ctx, insert, id, correlation, at)
			Expect(err).NotTo(HaveOccurred())
			return id
		}
		added := make([]string, 0, len(timesOfRows))
		for _, at := range timesOfRows {
			added = append(added, add(at))
		}
		whole := list(ctx, store.URL, path)
		Expect(whole.ids).To(ConsistOf(added))
		Expect(whole.next).To(BeEmpty())

		for _, limit := range []int{1, 2, 5, len(added)} {
			var ids []string
			cursor := []string{"limit", strconv.Itoa(limit)}
			for {
				page := list(ctx, store.URL, path, cursor...)
				Expect(len(page.ids)).To(BeNumerically("<=", limit))
				if ids = append(ids, page.ids...); page.next == "" {
					break
				}
				cursor = []string{"limit", strconv.Itoa(limit), "cursor", page.next}
			}
			Expect(ids).To(Equal(whole.ids), "pages of %d", limit)
		}

		first := list(ctx, store.URL, path, "limit", "4")
		newest := add("infinity")
		rest := list(ctx, store.URL, path, "cursor", first.next)
		Expect(append(first.ids, rest.ids...)).To(SatisfyAny(Equal(whole.ids), ContainElement(newest)))
		Expect(append(first.ids, rest.ids...)).To(ContainElements(whole.ids))

		for parameters, field := range map[string]string{"limit=0": "limit", "limit=1001": "limit", "cursor=abc": "cursor", "limit=1&curser=" + first.next: "curser"} {
			answer := storeCall(ctx, store.URL, http.MethodGet, path+"?"+parameters, nil, nil)
			Expect(decoded[datastorage.Problem](answer, http.StatusBadRequest).FieldErrors).To(HaveKey(field), parameters)
		}
	},
		Entry("holds", storeHolds, `INSERT INTO audit_holds (hold_id, correlation_id, reason, placed_by, placed_at) VALUES ($1, $2, 'r', 'n', $3::text::timestamptz)`, SpecTimeout(specTimeout)),
		Entry("erasures", storeErasures, `INSERT INTO audit_requests (request_id, kind, request, requested_by, requested_at)
			VALUES ($1, 'erasure', jsonb_build_object('reason', $2::text, 'event_ids', '[]'::jsonb), 'n', $3::text::timestamptz)`, SpecTimeout(specTimeout)))

	It("refuse a cursor of another list", func(ctx SpecContext) {
		store := ownStore(ctx, nil)
		held := env.CorrelationID()
		for range 2 {
			storeJSON(ctx, store.URL, storeHolds, datastorage.LegalHoldRequest{CorrelationId: &held, Reason: "case 7"})
		}
		next := list(ctx, store.URL, storeHolds, "limit", "1").next
		Expect(next).NotTo(BeEmpty())
		for _, path := range []string{storeHolds + "?released=true&cursor=", storeHolds + "/" + held + "?cursor=", storeErasures + "?cursor=", storeEvents + "?cursor="} {
			answer := storeCall(ctx, store.URL, http.MethodGet, path+next, nil, nil)
			Expect(decoded[datastorage.Problem](answer, http.StatusBadRequest).FieldErrors).To(HaveKey("cursor"), path)
		}
		Expect(list(ctx, store.URL, storeHolds, "cursor", next).ids).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("are shown to their ends by kubernaut hold list", func(ctx SpecContext) {
		store := ownStore(ctx, nil)
		held := env.CorrelationID()
		for range 5 {
			storeJSON(ctx, store.URL, storeHolds, datastorage.LegalHoldRequest{CorrelationId: &held, Reason: "case 7"})
		}
		for _, args := range [][]string{{"hold", "list"}, {"hold", "list", held}} {
			code, out := holdCommand(ctx, append(args, "--datastorage-url", store.URL, "--chunk-size", "2", "-o", "json")...)
			Expect(code).To(Equal(cli.ExitOK), out)
			var found datastorage.LegalHoldList
			Expect(json.Unmarshal([]byte(out), &found)).To(Succeed())
			Expect(found.LegalHolds).To(HaveLen(5))
			Expect(found.HasMore).To(BeFalse())
			Expect(strings.Count(out, held)).To(Equal(5))
		}
		code, out := holdCommand(ctx, "hold", "list", "--chunk-size", "1001")
		Expect(code).To(Equal(cli.ExitUsage), out)
	}, SpecTimeout(specTimeout))
})
