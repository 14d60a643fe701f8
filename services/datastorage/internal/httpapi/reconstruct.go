package httpapi

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"
	"sigs.k8s.io/yaml"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/internal/reconstruct"
	"kubernaut.ai/services/datastorage/internal/query"
)

const (
	kindReconstruct = "reconstruct"
	// maxReconstructed bounds the events that are read for one request.
	maxReconstructed = 10_000
	// reconstructionBytes is about what a request and its gaps take, as they are built and as YAML.
	reconstructionBytes = 2 << 20
)

// ReconstructRemediationRequest implements routes.ServerInterface.
func (a *API) ReconstructRemediationRequest(c echo.Context, correlationID string) error {
	return a.query(c, kindReconstruct, only("correlation_id", correlationID), func(events *int) error {
		return a.page(c, func(ctx context.Context, out *page) error {
			if err := out.held.Take(ctx, reconstructionBytes); err != nil {
				return err //nolint:wrapcheck // explained by the page
			}
			defer out.held.Return(reconstructionBytes)
			found, err := a.reconstruct(ctx, out, correlationID)
			if err != nil {
				return err
			}
			*events = found.Events
			return out.addJSON(ctx, found, 0)
		})
	})
}

func (a *API) reconstruct(ctx context.Context, out *page, correlationID string) (*api.Reconstruction, error) {
	limit := query.MaxLimit
	params := query.Params{CorrelationID: correlationID, Order: string(query.Ascending), Limit: &limit}
	builder := reconstruct.New(correlationID)
	for read := 0; ; {
		found, err := a.config.Finder.Find(ctx, params, func(s *query.Stored) error {
			e := wireEvent(s, out.story.of(s))
			builder.Add(&e)
			return nil
		})
		if err != nil {
			return nil, err //nolint:wrapcheck // explained by the page
		}
		if read += found.Events; read == 0 && !found.HasMore {
			return nil, problem.New(http.StatusNotFound, "there is no event with correlation id %q: it is the name of a RemediationRequest", correlationID)
		}
		if !found.HasMore {
			break
		}
		if read >= maxReconstructed {
			builder.Cut(read)
			break
		}
		params.Cursor = found.NextCursor
	}
	result := builder.Result()
	if !result.IsOfRequest() {
		return nil, problem.New(http.StatusNotFound, "none of the %d events with correlation id %q is about a RemediationRequest", result.Events, correlationID)
	}
	return reconstruction(result)
}

func reconstruction(r *reconstruct.Result) (*api.Reconstruction, error) {
	text, err := yaml.Marshal(r.Request)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the type
	}
	return &api.Reconstruction{
		CorrelationId: r.Request.Name, RemediationRequest: string(text), Completeness: r.Completeness(),
		Events: r.Events, Foreign: r.Foreign, RecorderUnchecked: r.Unchecked,
		Missing: gaps(r.Missing), Approximate: gaps(r.Approximate),
	}, nil
}

func gaps(of []reconstruct.Gap) []api.ReconstructionGap {
	out := make([]api.ReconstructionGap, len(of))
	for i, g := range of {
		out[i] = api.ReconstructionGap{Field: optional(g.Field), Reason: g.Reason}
	}
	return out
}
