package testenv_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/test/testenv"
)

func trail() testenv.Trail {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	return testenv.Trail{
		{
			EventId: uuid.New(), EventTimestamp: at, EventType: "a.b.received", EventOutcome: datastorage.Success,
			EventData: json.RawMessage(`{"count":1}`),
		},
		{
			EventId: uuid.New(), EventTimestamp: at, EventType: "a.b.decided", EventOutcome: datastorage.Failure,
			EventData: json.RawMessage(`{"severity":{"value":"high"}}`),
		},
	}
}

func TestTrailIsShownAsATable(t *testing.T) {
	g := NewWithT(t)
	lines := strings.Split(strings.TrimSpace(trail().String()), "\n")
	g.Expect(lines).To(HaveLen(2))
	g.Expect(lines[1]).To(SatisfyAll(ContainSubstring("03:04:05.000006"), ContainSubstring("a.b.decided   failure"), ContainSubstring(`"high"`)))
	g.Expect(testenv.Trail(nil).String()).To(Equal("(no events)"))
	g.Expect(trail().Types()).To(Equal([]string{"a.b.received", "a.b.decided"}))
	g.Expect(trail().Of("a.b.decided")).To(HaveLen(1))
}

func configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "here", Name: name},
		Data:       map[string]string{"value": value},
	}
}

func is(value string) func(*corev1.ConfigMap) bool {
	return func(c *corev1.ConfigMap) bool { return c.Data["value"] == value }
}

func TestWaitForSeesAChange(t *testing.T) {
	g := NewWithT(t)
	c := fake.NewClientBuilder().Build()
	waited := configMap("it", "")
	done := make(chan error, 1)
	watching := make(chan struct{})
	go func() {
		done <- testenv.WaitFor(t.Context(), watched{c, watching}, waited, is("done"))
	}()
	<-watching
	g.Expect(c.Create(t.Context(), configMap("it", "begun"))).To(Succeed())
	changed := configMap("it", "done")
	g.Expect(c.Update(t.Context(), changed)).To(Succeed())
	g.Expect(<-done).To(Succeed())
	g.Expect(waited.Data).To(HaveKeyWithValue("value", "done"))
}

func TestWaitForTellsOfADeletion(t *testing.T) {
	g := NewWithT(t)
	c := fake.NewClientBuilder().Build()
	done := make(chan error, 1)
	watching := make(chan struct{})
	go func() {
		done <- testenv.WaitFor(t.Context(), watched{c, watching}, configMap("it", ""), is("done"))
	}()
	<-watching
	g.Expect(c.Create(t.Context(), configMap("it", "begun"))).To(Succeed())
	g.Expect(c.Delete(t.Context(), configMap("it", ""))).To(Succeed())
	g.Expect(<-done).To(MatchError(ContainSubstring("it was deleted")))
}

func TestWaitForShowsTheLastStateWhenTimeIsUp(t *testing.T) {
	g := NewWithT(t)
	c := fake.NewClientBuilder().Build()
	ctx, cancel := context.WithCancelCause(t.Context())
	timeUp := errors.New("time is up")
	done := make(chan error, 1)
	watching := make(chan struct{})
	go func() {
		done <- testenv.WaitFor(ctx, watched{c, watching}, configMap("it", ""), func(c *corev1.ConfigMap) bool {
			cancel(timeUp)
			return false
		})
	}()
	<-watching
	g.Expect(c.Create(t.Context(), configMap("it", "begun"))).To(Succeed())
	g.Expect(<-done).To(MatchError(SatisfyAll(
		ContainSubstring("time is up"), ContainSubstring("here/it"), ContainSubstring("value: begun"))))
}

// watched tells when the watch has begun.
type watched struct {
	client.WithWatch

	begun chan struct{}
}

func (w watched) Watch(ctx context.Context, list client.ObjectList, o ...client.ListOption) (watch.Interface, error) {
	result, err := w.WithWatch.Watch(ctx, list, o...)
	close(w.begun)
	return result, err
}
