package kube_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubernaut.ai/internal/kube"
)

func TestWaitForAnAPIServer(t *testing.T) {
	namespaces := schema.GroupResource{Resource: "namespaces"}
	refused := errors.New("connection refused")
	starting := apierrors.NewServiceUnavailable("apiserver is starting")
	for name, test := range map[string]struct {
		failures []error
		attempts int
		logged   int
		want     []string // parts of the error; none: success
	}{
		"up":            {nil, 1, 0, nil},
		"up later":      {[]error{refused, starting}, 3, 2, nil},
		"not up":        {[]error{refused, refused, refused, refused, refused}, 3, 1, []string{"--startup-timeout 1.2s", "https://here", "--kubeconfig", "refused"}},
		"no namespace":  {[]error{refused, apierrors.NewNotFound(namespaces, "a")}, 2, 1, []string{"https://here", "create it"}},
		"no permission": {[]error{apierrors.NewForbidden(namespaces, "a", nil)}, 1, 0, []string{"https://here", "permissions"}},
		"not known":     {[]error{apierrors.NewUnauthorized("who are you")}, 1, 0, []string{"https://here", "permissions", "who are you"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logs := observer.New(zapcore.InfoLevel)
				attempts := 0
				err := kube.Wait{
					Host: "https://here", Timeout: 1200 * time.Millisecond, NotFound: "create it", Log: zap.New(core),
					Check: func(context.Context) error {
						attempts++
						if attempts <= len(test.failures) {
							return test.failures[attempts-1]
						}
						return nil
					},
				}.Until(t.Context())
				if (err == nil) != (len(test.want) == 0) || attempts != test.attempts || logs.Len() != test.logged {
					t.Errorf("error %v after %d attempts, %d log lines", err, attempts, logs.Len())
				}
				for _, part := range test.want {
					if err != nil && !strings.Contains(err.Error(), part) {
						t.Errorf("error %q does not say %q", err, part)
					}
				}
			})
		})
	}
}

func TestAnAttemptIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := kube.Wait{Host: "https://here", Timeout: time.Minute, Log: zap.NewNop(), Check: func(ctx context.Context) error {
			if time.Since(began) > 6*time.Second {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}}.Until(t.Context())
		if took := time.Since(began); err != nil || took != 11*time.Second {
			t.Errorf("took %s, error %v", took, err)
		}
	})
}
