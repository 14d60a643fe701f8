package connection_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kubernaut.ai/cmd/kubernaut/connection"
)

func TestARefusalOfTheAPIServerIsToldInItsWords(t *testing.T) {
	t.Parallel()
	for _, refusal := range []struct {
		status     int
		body, want string
	}{
		{http.StatusForbidden, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"User \"ada\" cannot list resource"}`, `User "ada" cannot list resource`},
		{http.StatusUnprocessableEntity, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"message":"spec.reason: is required"}`, "spec.reason: is required"},
		{http.StatusBadGateway, `no gateway`, "no gateway"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if !strings.HasPrefix(refusal.body, "{") {
				w.Header().Set("Content-Type", "text/plain")
			}
			w.WriteHeader(refusal.status)
			_, _ = w.Write([]byte(refusal.body))
		}))
		clients, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		text, err := connection.Answer(clients.CoreV1().RESTClient().Get().AbsPath("/apis/audit.kubernaut.ai/v1/events").Do(t.Context()))
		server.Close()
		if err == nil || text != nil || !strings.Contains(err.Error(), refusal.want) || strings.Contains(err.Error(), "unknown") {
			t.Errorf("%d: got %q and error %v, want %q", refusal.status, text, err, refusal.want)
		}
	}
}

func TestAnAnswerIsReturnedAsItIs(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"items":[]}`))
	}))
	defer server.Close()
	clients, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	text, err := connection.Answer(clients.CoreV1().RESTClient().Get().AbsPath("/apis/audit.kubernaut.ai/v1/events").Do(t.Context()))
	if err != nil || string(text) != `{"items":[]}` {
		t.Errorf("got %q, %v", text, err)
	}
}
