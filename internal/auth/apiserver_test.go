package auth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"
)

// apiServer answers reviews in the API server's wire format, and fails on demand.
type apiServer struct {
	url string

	mu     sync.Mutex
	people map[string]authenticationv1.TokenReviewStatus                                           // by token, guarded by mu
	decide func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus // guarded by mu
	fail   http.HandlerFunc                                                                        // guarded by mu
	tokens []authenticationv1.TokenReviewSpec                                                      // what it was asked, guarded by mu
	access []authorizationv1.SubjectAccessReviewSpec                                               // guarded by mu
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{
		people: map[string]authenticationv1.TokenReviewStatus{},
		decide: func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
			return authorizationv1.SubjectAccessReviewStatus{Allowed: true}
		},
	}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// config asks in JSON: clients of the API server's own types prefer protobuf.
func (s *apiServer) config() *rest.Config {
	return &rest.Config{Host: s.url, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
}

// knows makes a token known, for the audience of the API server.
func (s *apiServer) knows(token string, user authenticationv1.UserInfo, audiences ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.people[token] = authenticationv1.TokenReviewStatus{Authenticated: true, User: user, Audiences: audiences}
}

func (s *apiServer) forgets(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.people, token)
}

func (s *apiServer) decides(decide func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide = decide
}

func (s *apiServer) permits(allowed bool) {
	s.decides(func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{Allowed: allowed}
	})
}

// fails answers every question with f until it is nil.
func (s *apiServer) fails(f http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

// asked counts the questions so far.
func (s *apiServer) asked() (tokens, access int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tokens), len(s.access)
}

func (s *apiServer) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		fail(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	var answer any
	switch {
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/apis/authentication.k8s.io/v1/tokenreviews"):
		answer = s.token(r)
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/apis/authorization.k8s.io/v1/subjectaccessreviews"):
		answer = s.permission(r)
	default:
		http.NotFound(w, r)
		return
	}
	w.WriteHeader(http.StatusCreated)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		return // the client has left
	}
}

func (s *apiServer) token(r *http.Request) any {
	var review authenticationv1.TokenReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = append(s.tokens, review.Spec)
	status, known := s.people[review.Spec.Token]
	if !known {
		status.Error = "[invalid bearer token, unknown]"
	}
	review.Status = status
	return review
}

func (s *apiServer) permission(r *http.Request) any {
	var review authorizationv1.SubjectAccessReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access = append(s.access, review.Spec)
	review.Status = s.decide(review.Spec)
	return review
}

// account is a service account as the API server describes it.
func account(name string) authenticationv1.UserInfo {
	return authenticationv1.UserInfo{
		Username: "system:serviceaccount:kubernaut-system:" + name, UID: "uid-of-" + name,
		Groups: []string{"system:serviceaccounts", "system:authenticated"},
		Extra:  map[string]authenticationv1.ExtraValue{"authentication.kubernetes.io/pod-name": {name + "-0"}},
	}
}
