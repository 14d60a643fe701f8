package approval

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kubernaut.ai/api/admission"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
)

// apiServer has objects, and an answer to whoever creates one.
type apiServer struct {
	objects []client.Object
	answer  error
	// account is the failure to act as the probe's account.
	account error
	// reading is called when a decision is read.
	reading func(client.Client)
}

func (s *apiServer) guard(t *testing.T) *Guard {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(s.objects...).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, object client.Object, opts ...client.CreateOption) error {
			if !slices.Contains(opts, client.CreateOption(client.DryRunAll)) {
				t.Errorf("%T is created", object)
			}
			return s.answer
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if _, ok := object.(*v1alpha1.RemediationApproval); ok && s.reading != nil {
				s.reading(c)
			}
			return c.Get(ctx, key, object, opts...)
		},
	}).Build()
	return &Guard{Live: c, Accounts: accounts{c, s.account}, Namespace: workflows}
}

// shipped are the admission policies that ship, as they are in a cluster.
func shipped(t *testing.T) []client.Object {
	t.Helper()
	all, err := admission.Policies()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{admission.Approvals, admission.Decisions, admission.Executions}
	found := make([]client.Object, 0, 2*len(names))
	for _, name := range names {
		policy, binding := all[name].Policy, all[name].Binding
		policy.UID, binding.UID = types.UID("policy-"+name), types.UID("binding-"+name)
		policy.Generation, binding.Generation = 1, 1
		found = append(found, policy, binding)
	}
	return found
}

func snapshotOf(t *testing.T, objects []client.Object) string {
	t.Helper()
	server := apiServer{objects: objects}
	digest, why, err := server.guard(t).Snapshot(t.Context())
	if err != nil || why != "" || digest == "" {
		t.Fatalf("digest %q, why %q, error %v", digest, why, err)
	}
	return digest
}

func forbidden(message string) error {
	return apierrors.NewForbidden(schema.GroupResource{Group: "kubernaut.ai", Resource: "remediationapprovals"}, "u", errors.New(message))
}

// refusal is what the API server answers to a decision in another's name.
func refusal() error {
	return forbidden("ValidatingAdmissionPolicy '" + admission.Approvals + "' with binding '" + admission.Approvals + "' denied request: " + admission.NameRule)
}

func TestSnapshotNamesWhatIsNotAsShipped(t *testing.T) {
	t.Parallel()
	policy := func(o []client.Object) *admissionv1.ValidatingAdmissionPolicy {
		return o[0].(*admissionv1.ValidatingAdmissionPolicy)
	}
	binding := func(o []client.Object) *admissionv1.ValidatingAdmissionPolicyBinding {
		return o[1].(*admissionv1.ValidatingAdmissionPolicyBinding)
	}
	for name, test := range map[string]struct {
		change func([]client.Object) []client.Object
		says   []string
	}{
		"as shipped":        {func(o []client.Object) []client.Object { return o }, nil},
		"a policy missing":  {func(o []client.Object) []client.Object { return o[1:] }, []string{"ValidatingAdmissionPolicy ", admission.Approvals, "missing"}},
		"a binding missing": {func(o []client.Object) []client.Object { return o[:5] }, []string{"ValidatingAdmissionPolicyBinding", admission.Executions, "missing"}},
		"only audited": {func(o []client.Object) []client.Object {
			binding(o).Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit}
			return o
		}, []string{"ValidatingAdmissionPolicyBinding", admission.Approvals, "not the one that ships"}},
		"open on failure": {func(o []client.Object) []client.Object {
			ignore := admissionv1.Ignore
			policy(o).Spec.FailurePolicy = &ignore
			return o
		}, []string{"ValidatingAdmissionPolicy ", admission.Approvals, "not the one that ships"}},
		"a rule less": {func(o []client.Object) []client.Object {
			policy(o).Spec.Validations = policy(o).Spec.Validations[1:]
			return o
		}, []string{"not the one that ships"}},
		"somebody is exempt": {func(o []client.Object) []client.Object {
			policy(o).Spec.MatchConditions = []admissionv1.MatchCondition{{Name: "others", Expression: "request.userInfo.username != 'eve'"}}
			return o
		}, []string{"not the one that ships"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := apiServer{objects: test.change(shipped(t))}
			digest, why, err := server.guard(t).Snapshot(t.Context())
			if err != nil || (digest == "") != (test.says != nil) || (why == "") != (test.says == nil) {
				t.Errorf("digest %q, why %q, error %v", digest, why, err)
			}
			for _, part := range test.says {
				if !strings.Contains(why, part) {
					t.Errorf("why = %q, want it to say %q", why, part)
				}
			}
		})
	}
}

func TestSnapshotTellsEveryExchangeApart(t *testing.T) {
	t.Parallel()
	seen := map[string]string{snapshotOf(t, shipped(t)): "as shipped"}
	for i, object := range shipped(t) {
		for what, change := range map[string]func(client.Object){
			"UID":        func(o client.Object) { o.SetUID("other") },
			"generation": func(o client.Object) { o.SetGeneration(2) },
		} {
			all := shipped(t)
			change(all[i])
			digest := snapshotOf(t, all)
			if other := seen[digest]; other != "" {
				t.Errorf("%T %s with another %s is like %s", object, object.GetName(), what, other)
			}
			seen[digest] = object.GetName() + " " + what
		}
	}
}

func TestProbeBelievesOnlyTheRefusalByName(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer, account error
		says            string
		fails           bool
	}{
		"refused":             {answer: refusal()},
		"accepted":            {says: "accepted"},
		"refused by RBAC":     {answer: forbidden("User cannot create resource"), says: "was not refused by " + admission.Approvals},
		"refused by another":  {answer: forbidden("ValidatingAdmissionPolicy 'x' denied request: " + admission.NameRule), says: "was not refused by"},
		"by another rule":     {answer: forbidden("ValidatingAdmissionPolicy '" + admission.Approvals + "' denied request: no"), says: "was not refused by"},
		"no namespace":        {answer: apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, workflows), says: "was not refused by"},
		"no account":          {account: apierrors.NewNotFound(schema.GroupResource{Resource: "serviceaccounts"}, admission.ProbeAccount), says: "cannot be used"},
		"unreachable":         {answer: apierrors.NewServiceUnavailable("down"), fails: true},
		"account unreachable": {account: apierrors.NewServiceUnavailable("down"), fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := apiServer{answer: test.answer, account: test.account}
			why, err := server.guard(t).Probe(t.Context())
			if (err != nil) != test.fails || !strings.Contains(why, test.says) || (why == "") != (test.says == "") {
				t.Errorf("why %q, error %v", why, err)
			}
		})
	}
}
