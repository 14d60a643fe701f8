package httpapi

import (
	"fmt"

	"github.com/labstack/echo/v4"

	"kubernaut.ai/internal/auth"
)

// The roles of the deployment.
const (
	writer = "audit-writer-*"
	reader = "audit-reader"
	holder = "audit-legal-holder"
	eraser = "audit-eraser"
)

// group of the resources that permissions are about.
const group = "audit.kubernaut.ai"

// actions are what the operations of the document need the permission for.
var actions = map[string]auth.Action{
	"getEvent":                      onEvents("get", reader),
	"listEvents":                    onEvents("list", reader),
	"getEventStats":                 onEvents("list", reader),
	"listEventSchemas":              onEvents("list", reader),
	"getEventSchema":                onEvents("list", reader),
	"reconstructRemediationRequest": onEvents("list", reader),
	"getAcknowledgement":            {Group: group, Resource: "acknowledgements", Verb: "get", Role: writer},
	"placeLegalHold":                onHolds("create"),
	"listLegalHolds":                onHolds("list"),
	"getLegalHolds":                 onHolds("list"),
	"releaseLegalHold":              onHolds("delete"),
	"requestErasure":                onErasures("create"),
	"previewErasure":                onErasures("create"),
	"listErasures":                  onErasures("list"),
	"getErasure":                    onErasures("get"),
}

// byType are operations that any known caller may use: what it may write depends
// on the types of the events, see permit.
var byType = map[string]bool{"createEvent": true, "createEventsBatch": true}

// open operations show nothing that is stored, and are for everybody.
var open = map[string]bool{"getOpenAPI": true}

func onEvents(verb, role string) auth.Action {
	return auth.Action{Group: group, Resource: "events", Verb: verb, Role: role}
}

func onHolds(verb string) auth.Action {
	return auth.Action{Group: group, Resource: "legalholds", Verb: verb, Role: holder}
}

func onErasures(verb string) auth.Action {
	return auth.Action{Group: group, Resource: "erasures", Verb: verb, Role: eraser}
}

// middlewares are what stands before each operation. One that is neither open
// nor has an action, or is byType, is an error: nobody would check who calls it.
func middlewares(operations map[string]parameters, gate *auth.Gate) (map[string][]echo.MiddlewareFunc, error) {
	before := make(map[string][]echo.MiddlewareFunc, len(operations))
	for operation, known := range operations {
		if !open[operation] {
			permitted, err := gate.Permit(actions[operation])
			if byType[operation] {
				permitted, err = gate.Authenticated()
			}
			if err != nil {
				return nil, fmt.Errorf("operation %s: %w", operation, err)
			}
			before[operation] = append(before[operation], permitted)
		}
		before[operation] = append(before[operation], checked(known), acceptable)
	}
	return before, nil
}
