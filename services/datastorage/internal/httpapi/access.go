package httpapi

import (
	"fmt"

	"github.com/labstack/echo/v4"

	"kubernaut.ai/internal/auth"
)

// The roles of the deployment.
const (
	writer = "audit-writer"
	reader = "audit-reader"
)

// actions are what the operations of the document need the permission for.
var actions = map[string]auth.Action{
	"createEvent":       onEvents("create", writer),
	"createEventsBatch": onEvents("create", writer),
	"getEvent":          onEvents("get", reader),
	"listEvents":        onEvents("list", reader),
}

// open operations show nothing that is stored, and are for everybody.
var open = map[string]bool{"getOpenAPI": true}

func onEvents(verb, role string) auth.Action {
	return auth.Action{Group: "audit.kubernaut.ai", Resource: "events", Verb: verb, Role: role}
}

// middlewares are what stands before each operation. One that is neither open
// nor has an action is an error: nobody would check who calls it.
func middlewares(operations map[string]parameters, gate *auth.Gate) (map[string][]echo.MiddlewareFunc, error) {
	before := make(map[string][]echo.MiddlewareFunc, len(operations))
	for operation, known := range operations {
		if !open[operation] {
			permitted, err := gate.Permit(actions[operation])
			if err != nil {
				return nil, fmt.Errorf("operation %s: %w", operation, err)
			}
			before[operation] = append(before[operation], permitted)
		}
		before[operation] = append(before[operation], checked(known), acceptable)
	}
	return before, nil
}
