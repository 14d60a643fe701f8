package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every resource in this package.
var GroupVersion = schema.GroupVersion{Group: "kubernaut.ai", Version: "v1alpha1"}

var schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme registers this package's types with a scheme.
var AddToScheme = schemeBuilder.AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&RemediationRequest{}, &RemediationRequestList{},
		&SignalProcessing{}, &SignalProcessingList{},
		&RemediationWorkflow{}, &RemediationWorkflowList{},
		&WorkflowExecution{}, &WorkflowExecutionList{},
		&RemediationApproval{}, &RemediationApprovalList{},
		&RemediationCommand{}, &RemediationCommandList{},
		&PauseSwitch{}, &PauseSwitchList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
