package event

// MaxAskedRetention is the longest retention that a writer gets by asking for it, in
// days: ten years.
const MaxAskedRetention = 3650

// defaultRetentionDays is seven years, the longest of the usual duties to keep records.
const defaultRetentionDays = 2555

// Retention says for how many days events are kept.
type Retention struct {
	// Default is for events whose writer asks for nothing; 0 means 2,555.
	Default int32
	// Categories has what is for events of a category instead.
	Categories map[string]int32
}

// days is the retention of an event whose writer asked for a number of days, 0 for none.
// A writer that asks for too many gets MaxAskedRetention, or what the operator set if
// that is more: to refuse the event would lose it.
func (r *Retention) days(category string, asked int32) int32 {
	preset, found := r.Categories[category]
	switch {
	case !found && r.Default == 0:
		preset = defaultRetentionDays
	case !found:
		preset = r.Default
	}
	if asked == 0 {
		return preset
	}
	return min(asked, max(MaxAskedRetention, preset))
}
