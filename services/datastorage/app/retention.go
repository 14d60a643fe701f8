package app

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/internal/event"
)

// RetentionOptions say for how many days events are kept whose writers ask for nothing.
type RetentionOptions struct {
	// Default is for all categories without their own.
	Default int
	// Categories has items like "security=3650".
	Categories []string
}

func (o *RetentionOptions) declare(f *cli.Flags) {
	f.Int(&o.Default, "retention-default-days", 2555, "days that an event is kept for whose writer asks for nothing", cli.AtMost(wire.MaxRetentionDays))
	f.List(&o.Categories, "retention-days", "CATEGORY=DAYS: days that events of a category are kept for whose writers ask for nothing",
		cli.Check(func(text string) error {
			_, _, err := categoryDays(text)
			return err
		}))
}

// retention is for the decoder. A category that is given twice is a *cli.UsageError.
func (o *RetentionOptions) retention() (event.Retention, error) {
	r := event.Retention{Default: int32(o.Default), Categories: make(map[string]int32, len(o.Categories))} //nolint:gosec // bounded
	for _, text := range o.Categories {
		category, days, err := categoryDays(text)
		if err != nil {
			return event.Retention{}, cli.Usagef("--retention-days %s: %w", text, err)
		}
		if _, twice := r.Categories[category]; twice {
			return event.Retention{}, cli.Usagef("--retention-days: category %s is given twice", category)
		}
		r.Categories[category] = days
	}
	return r, nil
}

func categoryDays(text string) (category string, days int32, err error) {
	const most = 50 // of the characters of event_category
	category, number, found := strings.Cut(text, "=")
	category = strings.TrimSpace(category)
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
	switch {
	case !found || category == "" || utf8.RuneCountInString(category) > most:
		return "", 0, fmt.Errorf("want CATEGORY=DAYS, as in security=3650, with a category of at most %d characters", most)
	case err != nil || n < 1 || n > wire.MaxRetentionDays:
		return "", 0, fmt.Errorf("want CATEGORY=DAYS with 1 to %d days", wire.MaxRetentionDays)
	}
	return category, int32(n), nil
}
