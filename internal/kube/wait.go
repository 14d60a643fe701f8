package kube

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kubernaut.ai/internal/lifecycle"
)

// attemptTimeout bounds one attempt to reach the API server.
const attemptTimeout = 5 * time.Second

// Wait is the wait for an API server at the start of a service.
type Wait struct {
	// Host is the address of the API server, for errors.
	Host string
	// Timeout is the service's --startup-timeout.
	Timeout time.Duration
	// Check asks the API server for something that the service cannot do without.
	Check func(ctx context.Context) error
	// NotFound says what is missing, and what to do, when Check finds nothing.
	NotFound string
	// Log gets the reason for waiting.
	Log *zap.Logger
}

// Until waits until Check succeeds. It does not wait for what only a person can
// change: what is missing, and permissions.
func (w Wait) Until(ctx context.Context) error {
	wait := lifecycle.Wait{
		Timeout:        w.Timeout,
		AttemptTimeout: attemptTimeout,
		Transient: func(err error) bool {
			return !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err)
		},
		Report: func(reason error) { w.Log.Info("waiting for the API server", zap.Error(reason)) },
	}
	return wait.Until(ctx, func(ctx context.Context) error { //nolint:wrapcheck // the attempt says what failed
		err := w.Check(ctx)
		switch {
		case err == nil:
			return nil
		case apierrors.IsNotFound(err):
			return fmt.Errorf("kubernetes API server %s: %s: %w", w.Host, w.NotFound, err)
		case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			return fmt.Errorf("kubernetes API server %s refuses the service's credentials: grant the permissions of its role: %w", w.Host, err)
		}
		return fmt.Errorf("kubernetes API server %s does not answer: check that it is running, and --kubeconfig: %w", w.Host, err)
	})
}
