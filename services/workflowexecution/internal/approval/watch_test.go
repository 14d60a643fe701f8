package approval

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
)

func TestWhetherDecisionsCountIsSaidAtTheBeginningAndAtTheEnd(t *testing.T) {
	t.Parallel()
	server := &apiServer{objects: shipped(t), answer: refusal()}
	core, logs := observer.New(zapcore.InfoLevel)
	registry := prometheus.NewRegistry()
	w, err := NewWatch(server.guard(t), clocktesting.NewFakeClock(time.Time{}), zap.New(core), registry)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 0 {
		t.Errorf("%d series before the first look, %v", n, err)
	}
	for i, step := range []struct {
		answer    error
		protected float64
		logs      int
	}{
		{refusal(), 1, 0},
		{nil, 0, 1},
		{forbidden("another policy"), 0, 1},
		{apierrors.NewServiceUnavailable("away"), 0, 1},
		{refusal(), 1, 2},
		{apierrors.NewServiceUnavailable("away"), 1, 2},
		{nil, 0, 3},
	} {
		server.answer = step.answer
		w.look(t.Context())
		if got := testutil.ToFloat64(w.protected); got != step.protected || logs.Len() != step.logs {
			t.Errorf("step %d: %v, %d lines", i, got, logs.Len())
		}
	}
	first, second := logs.All()[0], logs.All()[1]
	if first.Level != zapcore.WarnLevel || !strings.Contains(first.ContextMap()["cause"].(string), "accepted a decision") || second.Message != "decisions count again" {
		t.Errorf("%+v, %+v", first, second)
	}
}

func TestPoliciesThatMayNotBeReadProveNothing(t *testing.T) {
	t.Parallel()
	server := &apiServer{objects: shipped(t), account: apierrors.NewForbidden(schema.GroupResource{Resource: "serviceaccounts/token"}, "probe", nil)}
	core, logs := observer.New(zapcore.InfoLevel)
	w, err := NewWatch(server.guard(t), clocktesting.NewFakeClock(time.Time{}), zap.New(core), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w.look(t.Context())
	if got := testutil.ToFloat64(w.protected); got != 0 || logs.Len() != 1 {
		t.Errorf("%v, %+v", got, logs.All())
	}
}
