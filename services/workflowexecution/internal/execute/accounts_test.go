//go:build integration

package execute_test

import (
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
)

// credential is who the API server takes a client of the account for, and its token's id.
func (w *world) credential(execution types.UID) (username, token string) {
	w.t.Helper()
	c, err := w.accounts.Client(w.t.Context(), "worker", execution)
	must(w.t, err)
	review := &authenticationv1.SelfSubjectReview{}
	must(w.t, c.Create(w.t.Context(), review))
	user := review.Status.UserInfo
	return user.Username, user.Extra["authentication.kubernetes.io/credential-id"][0]
}

func TestEachExecutionHasATokenOfItsOwn(t *testing.T) {
	w := newWorld(t, nil)
	username, first := w.credential("one")
	if username != w.accounts.Username("worker") {
		t.Errorf("acts as %s", username)
	}
	if _, same := w.credential("one"); same != first {
		t.Error("the same execution got another token")
	}
	if _, other := w.credential("two"); other == first {
		t.Error("another execution got the same token")
	}
	w.accounts.Forget("one")
	if _, renewed := w.credential("one"); renewed == first {
		t.Error("a forgotten token was used again")
	}
}

func TestAnAccountIsInTheNamespaceOfWorkflows(t *testing.T) {
	w := newWorld(t, nil)
	for _, name := range []string{"missing", "../kube-system/worker"} {
		if _, err := w.accounts.Client(t.Context(), name, ""); err == nil || (name == "missing" && !apierrors.IsNotFound(err)) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
