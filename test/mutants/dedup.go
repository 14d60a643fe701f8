package main

// dedupSuite breaks the Gateway's deduplication protocol in ways that only some
// interleavings of replicas show.
func dedupSuite() suite {
	const protocol = "Protocol"
	return suite{dir: "services/gateway/internal/dedup", tests: "^Test%sKeeps", mutants: []mutant{
		{promise: protocol, breaks: "a creator keeps a request that the register has passed", edits: []edit{
			swap("attempt.own", "_, err := a.takeBack(ctx, request) return Result{}, err", "break"),
		}},
		{promise: protocol, breaks: "a creator relies on a request that somebody suspects", edits: []edit{
			swap("attempt.own", "r.State() == signalregister.Suspect", "false"),
		}},
		{promise: protocol, breaks: "a signal joins a request that somebody suspects", edits: []edit{
			swap("attempt.join", "r.State() == signalregister.Suspect", "false"),
		}},
		{promise: protocol, breaks: "a signal joins a request without a look at the register after it existed", edits: []edit{
			swap("attempt.round", "!a.existed(request)", "false"),
		}},
		{promise: protocol, breaks: "a replica opens anew without suspecting first", edits: []edit{
			swap("attempt.missing", "_, err := a.register.Suspect(ctx, r) return Result{}, ignoreOutpaced(err)", "return a.openNext(ctx, r)"),
		}},
		{promise: protocol, breaks: "a name that somebody took counts as given up", edits: []edit{
			swap("attempt.taken", "r.State() == signalregister.Suspect", "true"),
		}},
		{promise: protocol, breaks: "a request that was created by hand takes signals", edits: []edit{
			swap("attempt.round", "case !r.Names(request):", "case false:"),
		}},
		{promise: protocol, breaks: "a name is used again after an uncertain creation", edits: []edit{
			swap("attempt.create", "denied(err)", "err != nil"),
		}},
		{promise: protocol, breaks: "a creator deletes a request that has finished", edits: []edit{
			drop("Opener.takeBack", "|| !open(current)"),
		}},
		{promise: protocol, breaks: "requests created late stay", edits: []edit{
			swap("attempt.round", "a.takeBackLate(ctx, r)", "error(nil)"),
		}},
		{promise: protocol, breaks: "a signal joins a finished request", edits: []edit{
			drop("attempt.join", "|| !a.takesSignals(request, a.signal.Spec.FiringTime.Time)"),
		}},
		{promise: protocol, breaks: "a sweep deletes the Lease of a request that exists", edits: []edit{
			swap("Opener.sweep", "if err == nil { return nil } if !apierrors.IsNotFound(err)", "if err != nil && !apierrors.IsNotFound(err)"),
		}},
	}}
}
