package classify

import (
	"errors"
	"fmt"
	"strings"

	"kubernaut.ai/pkg/audit/wire"
)

// maxDetail is the length of Evidence.PolicyDetail in characters.
const maxDetail = 512

// How a policy fails. Codes and texts are part of audit events, and event ids are
// derived from them: a change makes an event that is recorded again another event.
const (
	codeTimeout    = "timeout"
	codeEvaluation = "evaluation"
	codeUndefined  = "undefined"
	codeAnswer     = "answer"
	codeScale      = "scale"
)

var texts = map[string]string{
	codeTimeout:    "the policy took too long",
	codeEvaluation: "the policy could not be evaluated",
	codeUndefined:  "no rule of the policy applies",
	codeAnswer:     "the policy's answer has another form",
	codeScale:      "the policy's answer is outside of its limits",
}

// policyError is a failed decision.
type policyError struct {
	query, code string
	err         error
}

// failf makes a policyError. The format is for people, and may contain the engine's words.
func failf(query, code, format string, args ...any) error {
	return &policyError{query: query, code: code, err: fmt.Errorf(format, args...)}
}

// Error implements error.
func (e *policyError) Error() string { return e.query + ": " + e.err.Error() }

// Unwrap returns the cause.
func (e *policyError) Unwrap() error { return e.err }

// stable describes the failure in words that depend on the input only: those of the
// engine have positions, versions and lists without an order in them.
func (e *policyError) stable() string {
	decision := strings.TrimSuffix(strings.TrimPrefix(e.query, "data.kubernaut."), ".decision")
	return decision + "_" + e.code + ": " + texts[e.code]
}

// failures describes the failed decisions in stable words, and in detail; errors
// that are nil are left out.
func failures(errs ...error) (stable, detail string) {
	var all []string
	for _, err := range errs {
		if failed, ok := errors.AsType[*policyError](err); ok {
			all = append(all, failed.stable())
		}
	}
	if err := errors.Join(errs...); err != nil {
		detail = wire.TruncateCharacters(err.Error(), maxDetail)
	}
	return strings.Join(all, "; "), detail
}
