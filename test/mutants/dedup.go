package main

// dedupSuite breaks the Gateway's deduplication protocol in ways that only some
// interleavings of replicas show.
func dedupSuite() suite {
	const protocol = "Protocol"
	return suite{dir: "services/gateway/internal/dedup", tests: "^Test%sKeeps", mutants: []mutant{
		{promise: protocol, breaks: "a creator keeps a request whose name belongs to another object", edits: []edit{
			drop("attempt.own", `if uid := r.bound(); uid != "" && uid != request.UID { return Result{}, a.takeBack(ctx, request) }`),
		}},
		{promise: protocol, breaks: "a creator deletes a request that has finished", edits: []edit{
			drop("attempt.takeBack", "|| !open(current)"),
		}},
		{promise: protocol, breaks: "requests created late stay", edits: []edit{
			swap("attempt.round", "a.takeBackLate(ctx, r)", "error(nil)"),
		}},
		{promise: protocol, breaks: "the creation counts as recorded before it is bound", edits: []edit{
			swap("attempt.confirmCreation", `r.bound() == ""`, `r.bound() != ""`),
		}},
		{promise: protocol, breaks: "a signal joins a finished request", edits: []edit{
			drop("attempt.join", "|| !a.takesSignals(request)"),
		}},
		{promise: protocol, breaks: "a sweep deletes the Lease of a request that exists", edits: []edit{
			swap("Opener.sweep", "if err == nil { return false, nil } if !apierrors.IsNotFound(err)", "if err != nil && !apierrors.IsNotFound(err)"),
		}},
	}}
}
