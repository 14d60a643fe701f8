package kube_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/kube"
)

func TestConfigCopiesWhatItIsGiven(t *testing.T) {
	given := &rest.Config{Host: "https://here"}
	c, err := kube.Config(given, "", "test-agent")
	if err != nil {
		t.Fatal(err)
	}
	if c.Host != given.Host || c.UserAgent != "test-agent" || c.QPS != -1 || given.UserAgent != "" {
		t.Errorf("configuration %+v of %+v", c, given)
	}
	limited, err := kube.Config(&rest.Config{Host: "https://here", QPS: 7}, "", "test-agent")
	if err != nil || limited.QPS != 7 {
		t.Errorf("QPS %v, error %v", limited.QPS, err)
	}
}

func TestUnusableConfigNamesTheFlag(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, path := range []string{"", filepath.Join(t.TempDir(), "missing")} {
		_, err := kube.Config(nil, path, "test")
		var usage *cli.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), "--kubeconfig "+path) {
			t.Errorf("%q: error %v, want a usage error that names --kubeconfig", path, err)
		}
	}
}

func TestSchemeKnowsKubernetesTypesAndOurs(t *testing.T) {
	types, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []schema.GroupVersionKind{
		v1alpha1.GroupVersion.WithKind("RemediationRequest"), v1alpha1.GroupVersion.WithKind("RemediationRequestList"),
		v1alpha1.GroupVersion.WithKind("SignalProcessing"), v1alpha1.GroupVersion.WithKind("SignalProcessingList"),
		v1alpha1.GroupVersion.WithKind("RemediationWorkflow"), v1alpha1.GroupVersion.WithKind("RemediationWorkflowList"),
		v1alpha1.GroupVersion.WithKind("WorkflowExecution"), v1alpha1.GroupVersion.WithKind("WorkflowExecutionList"),
		v1alpha1.GroupVersion.WithKind("RemediationApproval"), v1alpha1.GroupVersion.WithKind("RemediationApprovalList"),
		v1alpha1.GroupVersion.WithKind("RemediationCommand"), v1alpha1.GroupVersion.WithKind("RemediationCommandList"),
		v1alpha1.GroupVersion.WithKind("PauseSwitch"), v1alpha1.GroupVersion.WithKind("PauseSwitchList"),
		corev1.SchemeGroupVersion.WithKind("Namespace"), coordinationv1.SchemeGroupVersion.WithKind("Lease"),
	} {
		if !types.Recognizes(kind) {
			t.Errorf("%s is not known", kind)
		}
	}
}
