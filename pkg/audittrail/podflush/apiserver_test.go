package podflush_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

// apiServer is as much of an API server as a flush of one stateful set,
// ns/gateway, sees. The integration suite has a real one.
type apiServer struct {
	*httptest.Server

	// answer is what the pods' proxies do.
	answer http.HandlerFunc
	// refuse answers instead of the API server, where it returns true.
	refuse func(w http.ResponseWriter, r *http.Request) bool
	// watching gets the resource of each watch that began.
	watching chan string

	mu     sync.Mutex
	set    *appsv1.StatefulSet
	pods   []corev1.Pod
	events map[string]chan any // by resource: what the next watch shows; closed ends it
}

func newAPIServer(t *testing.T, answer http.HandlerFunc) *apiServer {
	t.Helper()
	labels := map[string]string{"app": "gateway"}
	s := &apiServer{
		answer: answer, watching: make(chan string, 100),
		set: &appsv1.StatefulSet{
			TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "gateway", UID: "set", Generation: 1},
			Spec:       appsv1.StatefulSetSpec{Replicas: ptr.To[int32](2), Selector: &metav1.LabelSelector{MatchLabels: labels}},
			Status:     appsv1.StatefulSetStatus{ObservedGeneration: 1, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2},
		},
		events: map[string]chan any{"statefulsets": make(chan any, 10), "pods": make(chan any, 10)},
	}
	for i := range 2 {
		s.pods = append(s.pods, corev1.Pod{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprintf("gateway-%d", i), UID: "pod", Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "management", ContainerPort: 9090}}}}},
			Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		})
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch {
	case s.refuse != nil && s.refuse(w, r):
	case strings.Contains(r.URL.Path, "/proxy/"):
		s.answer(w, r)
	case r.URL.Query().Has("watch"):
		s.watch(w, r, resource)
	case r.URL.Path == "/apis/apps/v1/namespaces/ns/statefulsets" && r.URL.Query().Get("fieldSelector") == "metadata.name=gateway":
		s.mu.Lock()
		defer s.mu.Unlock()
		writeJSON(w, appsv1.StatefulSetList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}, Items: []appsv1.StatefulSet{*s.set}})
	case r.URL.Path == "/api/v1/namespaces/ns/pods" && r.URL.Query().Get("labelSelector") == "app=gateway":
		s.mu.Lock()
		defer s.mu.Unlock()
		writeJSON(w, corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}, Items: s.pods})
	default:
		http.Error(w, "unexpected "+r.URL.String(), http.StatusTeapot)
	}
}

func (s *apiServer) config() *rest.Config { return &rest.Config{Host: s.URL} }

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request, resource string) {
	if r.URL.Query().Get("resourceVersion") != "7" {
		http.Error(w, "a watch must begin where the list ended", http.StatusTeapot)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	s.watching <- resource
	s.mu.Lock()
	events := s.events[resource]
	s.mu.Unlock()
	for {
		select {
		case <-r.Context().Done():
			return
		case event, open := <-events:
			if !open {
				s.mu.Lock()
				s.events[resource] = make(chan any, 10)
				s.mu.Unlock()
				return
			}
			writeJSON(w, event)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// change changes the state without telling watches.
func (s *apiServer) change(change func(*appsv1.StatefulSet, []corev1.Pod)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.set, s.pods)
}

// show sends an event to the present watch of a resource.
func (s *apiServer) show(resource, eventType string, object any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events[resource] <- map[string]any{"type": eventType, "object": object}
}

// end ends the present watch of a resource, as API servers do now and then.
func (s *apiServer) end(resource string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.events[resource])
}

func (s *apiServer) awaitWatches(t *testing.T) {
	t.Helper()
	for range 2 {
		select {
		case <-s.watching:
		case <-t.Context().Done():
			t.Fatal("there is no watch")
		}
	}
}

func writeJSON(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body) //nolint:errchkjson // Kubernetes' types and maps of them
}

func status(code int, reason metav1.StatusReason, message string) metav1.Status {
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
	}
}
