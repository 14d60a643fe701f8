package podflush_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audittrail/podflush"
)

var gateway = podflush.Workload{Kind: podflush.StatefulSet, Namespace: "ns", Name: "gateway"}

func flusher(t *testing.T, s *apiServer, change func(*podflush.Options)) *podflush.Flusher {
	t.Helper()
	options := podflush.Options{Config: s.config(), Workloads: []podflush.Workload{gateway}}
	if change != nil {
		change(&options)
	}
	f, err := podflush.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func receipt(w http.ResponseWriter, r *http.Request) {
	pod := strings.Split(r.URL.Path, "/")[6]
	writeJSON(w, audit.Receipt{Barrier: 7, Events: 2, ConsistencyToken: "token of " + pod})
}

func TestUnusableOptionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*podflush.Options)
		want   string
	}{
		"no API server":     {func(o *podflush.Options) { o.Config = nil }, "is missing"},
		"broken API server": {func(o *podflush.Options) { o.Config = &rest.Config{Host: "://"} }, "://"},
		"no workload":       {func(o *podflush.Options) { o.Workloads = nil }, "no workload"},
		"no kind":           {func(o *podflush.Options) { o.Workloads[0].Kind = "" }, `kind ""`},
		"no namespace":      {func(o *podflush.Options) { o.Workloads[0].Namespace = "" }, "namespace"},
		"no name":           {func(o *podflush.Options) { o.Workloads[0].Name = "../secrets" }, "../secrets"},
		"twice": {func(o *podflush.Options) {
			again := gateway
			again.AllowEmpty = true
			o.Workloads = append(o.Workloads, again)
		}, "named twice"},
		"no port name":         {func(o *podflush.Options) { o.Port = "no port" }, "no port"},
		"no port number":       {func(o *podflush.Options) { o.Port = "65536" }, "65536"},
		"negative timeout":     {func(o *podflush.Options) { o.Timeout = -1 }, "timeout"},
		"too long a timeout":   {func(o *podflush.Options) { o.Timeout = 5*time.Minute + 1 }, "timeout"},
		"negative concurrency": {func(o *podflush.Options) { o.Concurrency = -1 }, "concurrency"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := podflush.Options{Config: &rest.Config{Host: "https://here"}, Workloads: []podflush.Workload{gateway}}
			test.change(&options)
			if _, err := podflush.New(options); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}

func TestEachPodIsAskedAsConfigured(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 2)
	s := newAPIServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.String()
		receipt(w, r)
	})
	f := flusher(t, s, func(o *podflush.Options) { o.Port, o.Timeout = "1234", 90*time.Second })
	receipts, err := f.Flush(t.Context(), "rr-1 & more")
	if err != nil {
		t.Fatal(err)
	}
	tokens := []string{receipts[0].ConsistencyToken, receipts[1].ConsistencyToken}
	if !slices.Equal(tokens, []string{"token of gateway-0:1234", "token of gateway-1:1234"}) {
		t.Errorf("tokens %q", tokens)
	}
	got := []string{<-asked, <-asked}
	slices.Sort(got)
	const request = "POST /api/v1/namespaces/ns/pods/gateway-%d:1234/proxy/audit/flush?correlation_id=rr-1+%%26+more&timeout=1m30s"
	if want := []string{fmt.Sprintf(request, 0), fmt.Sprintf(request, 1)}; !slices.Equal(got, want) {
		t.Errorf("asked %q, want %q", got, want)
	}
}

func TestNoMorePodsAreAskedAtOnceThanAllowed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := newAPIServer(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	f := flusher(t, s, func(o *podflush.Options) { o.Concurrency = 1 })
	_, err := f.FlushPods(ctx, "")
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "not asked yet") || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("error %v", err)
	}
}

// answers of a pod, or of the API server in its place, that are no receipt.
func TestEveryOtherAnswerIsAnErrorThatNamesThePod(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("followed a pod's redirection, with %q", r.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)
	for name, test := range map[string]struct {
		answer func(w http.ResponseWriter)
		holds  func(error) bool
		want   string
	}{
		"it owes events": {
			answer: func(w http.ResponseWriter) {
				w.WriteHeader(http.StatusGatewayTimeout)
				_, _ = io.WriteString(w, `{"status": 504, "events": 4, "pending": 3}`)
			},
			holds: func(err error) bool {
				e, ok := errors.AsType[*audit.FlushError](err)
				return ok && e.Pending == 3 && e.Events == 4
			},
			want: "3 of 4 events are still pending",
		},
		"some were rejected": {
			answer: func(w http.ResponseWriter) {
				w.WriteHeader(http.StatusConflict)
				_, _ = io.WriteString(w, `{"status": 409, "rejected": 1}`)
			},
			holds: func(err error) bool {
				e, ok := errors.AsType[*audit.FlushError](err)
				return ok && e.RejectedUnnamed == 1
			},
			want: "1 rejected",
		},
		"forbidden": {
			answer: func(w http.ResponseWriter) {
				w.WriteHeader(http.StatusForbidden)
				writeJSON(w, status(http.StatusForbidden, metav1.StatusReasonForbidden, `cannot create resource "pods/proxy"`))
			},
			holds: apierrors.IsForbidden,
			want:  "pods/proxy",
		},
		"the API server's success is no receipt": {
			answer: func(w http.ResponseWriter) {
				writeJSON(w, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}})
			},
			holds: func(err error) bool { return err != nil },
			want:  "gateway-1",
		},
		"it sends elsewhere": {
			answer: func(w http.ResponseWriter) {
				w.Header().Set("Location", elsewhere.URL)
				w.WriteHeader(http.StatusTemporaryRedirect)
			},
			holds: func(err error) bool { return err != nil },
			want:  "response 307 Temporary Redirect",
		},
		"it talks without end": {
			answer: func(w http.ResponseWriter) { _, _ = io.WriteString(w, strings.Repeat(" ", 5<<20)) },
			holds:  func(err error) bool { return err != nil },
			want:   "more than 4194304 bytes",
		},
		"it breaks off": {
			answer: func(w http.ResponseWriter) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, "{")
			},
			holds: func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) },
			want:  "read answer",
		},
		"it is something else": {
			answer: func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"status": "ok"}`) },
			holds:  func(err error) bool { return err != nil },
			want:   "fields are missing",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "gateway-0:") {
					receipt(w, r)
					return
				}
				test.answer(w)
			})
			f := flusher(t, s, func(o *podflush.Options) { o.Config.BearerToken = "secret" })
			receipts, err := f.FlushPods(t.Context(), "")
			failure, ok := errors.AsType[*podflush.PodError](err)
			if !ok || failure.Pod != "gateway-1" || failure.Workload != gateway {
				t.Fatalf("error %v does not name gateway-1", err)
			}
			if !test.holds(failure.Err) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
			if len(receipts) != 1 || receipts[0].Pod != "gateway-0" {
				t.Errorf("receipts %+v, want that of the other pod", receipts)
			}
		})
	}
}

func TestItReadsAgainWhenAWatchEnds(t *testing.T) {
	t.Parallel()
	ready := func(set *appsv1.StatefulSet, _ []corev1.Pod) { set.Status.ReadyReplicas = 2 }
	for name, end := range map[string]func(*apiServer){
		"by the API server's choice": func(s *apiServer) { s.end("pods") },
		"because its version is too old": func(s *apiServer) {
			s.show("statefulsets", "ERROR", status(http.StatusGone, metav1.StatusReasonExpired, "too old resource version"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t, receipt)
			s.set.Status.ReadyReplicas = 1
			done := make(chan error, 1)
			go func() {
				_, err := flusher(t, s, nil).FlushPods(t.Context(), "")
				done <- err
			}()
			s.awaitWatches(t)
			s.change(ready)
			end(s)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestItDoesNotWaitForWhatCannotCome(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		act  func(*apiServer)
		want string
	}{
		"the workload was deleted": {
			func(s *apiServer) { s.show("statefulsets", "DELETED", s.set) }, "it was deleted",
		},
		"the workload was replaced": {
			func(s *apiServer) {
				other := s.set.DeepCopy()
				other.UID = "other"
				s.show("statefulsets", "MODIFIED", other)
			}, "it was deleted",
		},
		"the workload was scaled to nothing": {
			func(s *apiServer) {
				none := s.set.DeepCopy()
				*none.Spec.Replicas = 0
				s.show("statefulsets", "MODIFIED", none)
			}, "declares no replicas",
		},
		"the watch failed": {
			func(s *apiServer) {
				s.show("pods", "ERROR", status(http.StatusInternalServerError, metav1.StatusReasonInternalError, "etcd is away"))
			}, "etcd is away",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAPIServer(t, receipt)
			s.set.Status.ReadyReplicas = 1
			done := make(chan error, 1)
			go func() {
				_, err := flusher(t, s, nil).FlushPods(t.Context(), "")
				done <- err
			}()
			s.awaitWatches(t)
			test.act(s)
			if err := <-done; err == nil || !strings.Contains(err.Error(), "statefulset ns/gateway: ") || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v does not say %q", err, test.want)
			}
		})
	}
}

func TestARefusedWatchIsAnError(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t, receipt)
	s.set.Status.ReadyReplicas = 1
	s.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		if !r.URL.Query().Has("watch") || !strings.HasSuffix(r.URL.Path, "/pods") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		writeJSON(w, status(http.StatusForbidden, metav1.StatusReasonForbidden, `cannot watch resource "pods"`))
		return true
	}
	_, err := flusher(t, s, nil).FlushPods(t.Context(), "")
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot watch") {
		t.Errorf("error %v", err)
	}
}

func TestTheContextsEndNamesWhatWasMissing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := newAPIServer(t, receipt)
	s.set.Status.ReadyReplicas = 1
	done := make(chan error, 1)
	go func() {
		_, err := flusher(t, s, nil).FlushPods(ctx, "")
		done <- err
	}()
	s.awaitWatches(t)
	cancel()
	err := <-done
	if want := "flush pods: statefulset ns/gateway: 1 of 2 replicas ready: context canceled"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if waiting, ok := errors.AsType[*podflush.WaitError](err); !ok || !errors.Is(waiting, context.Canceled) {
		t.Errorf("error %v is no WaitError", err)
	}
}

func TestAChangeDuringTheFlushIsAnError(t *testing.T) {
	t.Parallel()
	var s *apiServer
	s = newAPIServer(t, func(w http.ResponseWriter, r *http.Request) {
		s.change(func(_ *appsv1.StatefulSet, pods []corev1.Pod) { pods[1].UID = "successor" })
		receipt(w, r)
	})
	receipts, err := flusher(t, s, nil).FlushPods(t.Context(), "")
	changed, ok := errors.AsType[*podflush.ChangedError](err)
	if !ok || !slices.Equal(changed.Changes, []string{"pod gateway-1 was replaced"}) || len(receipts) != 2 {
		t.Errorf("error %v, receipts %+v", err, receipts)
	}
}

func TestSeveralWorkloadsFailIndependently(t *testing.T) {
	t.Parallel()
	s := newAPIServer(t, receipt)
	other := podflush.Workload{Kind: podflush.Deployment, Namespace: "ns", Name: "signalprocessing"}
	s.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "deployments") {
			writeJSON(w, appsv1.DeploymentList{})
			return true
		}
		return false
	}
	receipts, err := flusher(t, s, func(o *podflush.Options) { o.Workloads = append(o.Workloads, other) }).FlushPods(t.Context(), "")
	if want := "flush pods: deployment ns/signalprocessing: not found"; err == nil || err.Error() != want || len(receipts) != 2 {
		t.Errorf("error %v, want %s; receipts %+v", err, want, receipts)
	}
}
