package main

// The packages beside the suite's own that mutants change.
const (
	barriersDir = "pkg/audit/internal/barriers"
	commitsDir  = "pkg/audit/internal/commitgroup"
	healthDir   = "pkg/audit/internal/sinkhealth"
	queueDir    = "pkg/audit/internal/queue"
	spoolDir    = "pkg/audit/spool"
	waitlistDir = "pkg/audit/internal/waitlist"
	windowDir   = "pkg/audit/internal/window"
)

// auditSuite breaks each promise of docs/audit-contract.md in up to three ways,
// preferably in those that were mistakes once.
func auditSuite() suite {
	var all []mutant
	for _, of := range [][]mutant{proof(), waiting(), bounds(), once(), stalling(), ending(), order()} {
		all = append(all, of...)
	}
	return suite{dir: "pkg/audit", tests: "^Test%s_", mutants: all}
}

// proof breaks what a flush proves.
func proof() []mutant {
	return []mutant{
		{promise: "F1", breaks: "a failed write counts as stored", edits: []edit{
			swap("Store.deliver", "s.sinkFailed(err, len(part))", "s.sinkFailed(err, len(part)); s.stored(part, Ack{}); work = work[:len(work)-1]"),
		}},
		{promise: "F1", breaks: "a flush forgets the batch in flight", edits: []edit{
			swap("Store.join", "return s.pending()", "return s.window.Waiting() + s.backlog.Events"),
		}},
		{promise: "F1", breaks: "a flush of one correlation id forgets what is on disk only", edits: []edit{
			swap("Store.join", "remaining := s.backlog.Events", "remaining := 0"),
		}},
		{promise: "F2", breaks: "a flush of one correlation id reports the failures of others", edits: []edit{
			swap("Barrier.Covers", `seq <= b.Seq && (b.CorrelationID == Everything || b.CorrelationID == correlationID)`, "seq <= b.Seq").in(barriersDir),
		}},
		{promise: "F2", breaks: "a rejection is news after each crash", edits: []edit{
			swap("Store.refused", "Position: it.Position", "Position: 0 * it.Position"),
		}},
		{promise: "F2", breaks: "a retried event leaves the quarantine before it is stored", edits: []edit{
			swap("Store.Retry", "retried++", "retried++; _, _ = s.Acknowledge(id)"),
		}},
		{promise: "F3", breaks: "a flush outlives its context", edits: []edit{
			drop("Store.await", "case <-ctx.Done(): return ctx.Err()"),
		}},
		{promise: "F3", breaks: "the context's error is not wrapped", edits: []edit{
			swap("Store.report", "e.Cause = cause", "_ = cause"),
		}},
		{promise: "F3", breaks: "pending events on disk are not counted", edits: []edit{
			swap("Store.report", "Pending: t.Remaining", "Pending: min(t.Remaining, s.queue.Events())"),
		}},
	}
}

// waiting breaks what a flush waits for, and what it does not need.
func waiting() []mutant {
	return []mutant{
		{promise: "F4", breaks: "a flush leaves an unreadable spool to a timer", edits: []edit{
			swap("reader.mayRead", "r.again != nil && r.hurries == hurries", "r.again != nil"),
		}},
		{promise: "F4", breaks: "a flush during an attempt is missed", edits: []edit{
			swap("Health.Hurried", "h.hurries != hurries", "h.hurries < hurries").in(healthDir),
		}},
		{promise: "F4", breaks: "a flush ends one pause of two", edits: []edit{
			swap("List.Wake", "close(l.changed)", "select { case l.changed <- struct{}{}: default: }").in(waitlistDir),
		}},
		{promise: "F5", breaks: "each flush writes for itself", edits: []edit{
			begin("Store.await", "_, _ = s.sink.Write(ctx, nil)"),
		}},
		{promise: "F5", breaks: "a flush does not wait for the batch in flight", edits: []edit{
			swap("Window.Due", "moving == 0 && (closing", "moving >= 0 && (closing").in(windowDir),
		}},
		{promise: "F5", breaks: "a flush waits for later events", edits: []edit{
			swap("Store.flush", "err := s.await(ctx, t)", `err := s.await(ctx, t)
				s.mu.Lock()
				if err == nil && s.pending() > 0 {
					t = s.join(ctx, correlationID)
				}
				s.mu.Unlock()
				if err == nil {
					err = s.await(ctx, t)
				}`),
		}},
	}
}

// bounds breaks what Record promises when memory, the disk or the sink is full.
func bounds() []mutant {
	return []mutant{
		{promise: "F6", breaks: "an event that finds the disk full is not in doubt", edits: []edit{
			swap("Spool.append", `fmt.Errorf("write segment %s: %w: %w", g.name(), audit.ErrInDoubt, err)`, `fmt.Errorf("write segment %s: %w", g.name(), full(err))`).in(spoolDir),
		}},
		{promise: "F6", breaks: "a Record that gives up keeps its place", edits: []edit{
			swap("Committer.Leave", "c.Confirm(size)", "c.bytes -= size").in(commitsDir),
		}},
		{promise: "F6", breaks: "two Records wake each other forever", edits: []edit{
			swap("Store.commit", "s.commits.Confirm(bytes)", "s.commits.Confirm(bytes); s.wakeRecorders()"),
		}},
		{promise: "F13", breaks: "a batch leaves 1 ms early", edits: []edit{
			swap("Store.accepted", "s.timer.Reset(s.interval)", "s.timer.Reset(s.interval - time.Millisecond)"),
		}},
		{promise: "F13", breaks: "only the oldest event has an interval", edits: []edit{
			swap("Window.Add", "arm = !w.armed", "arm = w.waiting == 1").in(windowDir),
		}},
		{promise: "F13", breaks: "the rest of a batch has no interval", edits: []edit{
			swap("Window.Rearm", "w.armed, left = true, rest", "w.armed, left = false, 0*rest").in(windowDir),
		}},
	}
}

// once breaks that each event is stored exactly once, through crashes and refusals.
func once() []mutant {
	return []mutant{
		{promise: "F7", breaks: "each write has new ids", edits: []edit{
			swap("Store.batchOf", "*events = append(*events, *it.Event)", "*events = append(*events, *it.Event); (*events)[len(*events)-1].ID = newID(s.clock.Now(), s.random)"),
		}},
		{promise: "F7", breaks: "what a process before left has new ids", edits: []edit{
			swap("Store.loaded", "size := event.Footprint()", "event.ID = newID(s.clock.Now(), s.random); size := event.Footprint()"),
		}},
		{promise: "F7", breaks: "the caller's id is replaced", edits: []edit{
			swap("Store.stamp", "event.ID == uuid.Nil", "event.ID == uuid.Nil || event.ID.Version() == 8"),
		}},
		{promise: "F8", breaks: "an append does not sync", edits: []edit{
			swap("segmentFiles.Create", "return file, nil", "return unsynced{file}, nil").in(spoolDir),
			declare("segmentFiles.Create", "type unsynced struct{ File }\n\nfunc (unsynced) Sync() error { return nil }").in(spoolDir),
		}},
		{promise: "F8", breaks: "an event accepted during a read counts as lost", edits: []edit{
			swap("Store.loaded", "damaged = min(damaged, pending-len(read))", "if len(read) == 0 { pending, damaged = s.backlog.Events, s.backlog.Events }; damaged = min(damaged, pending-len(read))"),
		}},
		{promise: "F8", breaks: "a write that ends while Close spills releases what was not sent", edits: []edit{
			drop("Store.stored", "if s.life.phase >= delivered { s.mu.Unlock(); return }"),
			swap("Store.closeSpool", "s.spool.Release(terminal)", "s.spool.Release(s.queue.LowPosition())"),
		}},
		{promise: "F9", breaks: "a batch is rejected as a whole", edits: []edit{
			swap("Store.refused", "if !offends", "if !offends && len(refusals) == 0"),
		}},
		{promise: "F9", breaks: "a full quarantine stops the others", edits: []edit{
			drop("Window.Stall", "w.stalled++").in(windowDir),
			drop("Window.Unstall", "w.stalled--").in(windowDir),
		}},
		{promise: "F9", breaks: "a batch that the sink fails with a 500 stops the others", edits: []edit{
			swap("delivery.isBroken", "d.broken > maxBroken", "d.broken < 0"),
		}},
	}
}

// stalling breaks what holds for events that the sink does not take for now.
func stalling() []mutant {
	return []mutant{
		{promise: "F9", breaks: "a batch that a proxy finds too large is sent again as it is", edits: []edit{
			swap("Store.deliver", "errors.Is(err, ErrTooLarge)", "errors.Is(err, ErrTooLarge) && len(part) == 0"),
		}},
		{promise: "F9", breaks: "the limit of a proxy is forgotten", edits: []edit{
			swap("Window.Exceeded", "w.limit = half", "w.limit = w.limits.Bytes").in(windowDir),
		}},
		{promise: "F9", breaks: "the limit of a proxy stays forever", edits: []edit{
			swap("Window.Probe", "now < w.probeAt", "now < w.probeAt || w.limit > 0").in(windowDir),
		}},
		{promise: "F9", breaks: "a proxy's 413 rejects an event", edits: []edit{
			swap("Store.tooLarge", "s.aside(ctx, d, work, part, nil, StalledTooLarge, []string{err.Error()}, err, hurries)", "s.refused(ctx, d, work, err, hurries)"),
		}},
		{promise: "F9", breaks: "a forbidden event holds up its batch", edits: []edit{
			swap("Store.forbidden", "reasons == nil", "reasons != nil"),
		}},
		{promise: "F9", breaks: "a granted permission takes a restart", edits: []edit{
			swap("Store.takeStalled", "len(s.queue.Aside()) == 0", "len(s.queue.Aside()) >= 0"),
		}},
		{promise: "F9", breaks: "all stalled events are tried in each round", edits: []edit{
			swap("Store.retryStalled", "it.State != queue.Terminal", "it.State != queue.Terminal && it.Seq == 0"),
		}},
		{promise: "F4", breaks: "a flush leaves stalled events to a timer", edits: []edit{
			swap("Store.takeStalled", "!st.due && st.hurries == s.health.Hurries()", "!st.due"),
		}},
		{promise: "F6", breaks: "a stalled event fills the spool", edits: []edit{
			swap("Store.moveStalled", "held <= min(state.MaxBytes/4, maxHeldBytes)", "held >= 0 || maxHeldBytes < 0"),
		}},
		{promise: "F8", breaks: "the place of a stalled event on disk is released", edits: []edit{
			swap("Queue.LowPosition", "aside > 0", "aside > 0 && q.events < 0").in(queueDir),
		}},
	}
}

// ending breaks what Close promises.
func ending() []mutant {
	return []mutant{
		{promise: "F10", breaks: "Close waits for a sink that ignores its context", edits: []edit{
			drop("Store.awaitPhase", "case <-timer.C:"),
		}},
		{promise: "F10", breaks: "an impatient Close gives up for all", edits: []edit{
			swap("Store.Close", "cause == nil || last", "cause != nil || last"),
		}},
		{promise: "F10", breaks: "a failed spill goes unsaid", edits: []edit{
			swap("Store.declareLost", "it.Position == 0", "it.Position == 0 && s.spool == nil"),
		}},
	}
}

// order breaks the order of events, and what a store tells about itself.
func order() []mutant {
	return []mutant{
		{promise: "F11", breaks: "memory overtakes the disk", edits: []edit{
			drop("Store.viaSpool", "s.backlog.Events > 0 ||"),
			drop("Store.acceptSpooled", "s.backlog.Events == 0 &&"),
		}},
		{promise: "F11", breaks: "two batches in flight share a correlation id", edits: []edit{
			swap("Window.isBusy", "return busy", "return busy && w.inFlight == 0").in(windowDir),
		}},
		{promise: "F11", breaks: "time stamps stay with a clock that was ahead", edits: []edit{
			drop("stamps.next", "&& s.last.Sub(stamp) < clockSetBack"),
		}},
		{promise: "F12", breaks: "each failure of the sink is logged", edits: []edit{
			swap("Health.Failed", "h.err == nil", "h.err == nil || h.err != nil").in(healthDir),
		}},
		{promise: "F12", breaks: "what is on disk only has no age", edits: []edit{
			swap("Store.oldestPendingAge", "acceptedAt = s.backlog.Since", "return 0"),
		}},
		{promise: "F12", breaks: "the span of a failed write has no error", edits: []edit{
			swap("Store.write", "span.SetStatus(codes.Error, SinkState(err))", "_ = codes.Error"),
		}},
	}
}
