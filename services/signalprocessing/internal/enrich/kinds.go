package enrich

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const kindNamespace = "Namespace"

// newObject returns an empty object of a kind that can be the target of a signal,
// or nil. The service's role permits reading exactly these kinds; an owner of
// another kind ends the owner chain.
func newObject(kind string) client.Object {
	switch kind {
	case "Pod":
		return &corev1.Pod{}
	case "Node":
		return &corev1.Node{}
	case kindNamespace:
		return &corev1.Namespace{}
	case "Service":
		return &corev1.Service{}
	case "PersistentVolumeClaim":
		return &corev1.PersistentVolumeClaim{}
	case "PersistentVolume":
		return &corev1.PersistentVolume{}
	case "ReplicationController":
		return &corev1.ReplicationController{}
	case "ReplicaSet":
		return &appsv1.ReplicaSet{}
	case "Deployment":
		return &appsv1.Deployment{}
	case "StatefulSet":
		return &appsv1.StatefulSet{}
	case "DaemonSet":
		return &appsv1.DaemonSet{}
	case "Job":
		return &batchv1.Job{}
	case "CronJob":
		return &batchv1.CronJob{}
	case "HorizontalPodAutoscaler":
		return &autoscalingv2.HorizontalPodAutoscaler{}
	case "PodDisruptionBudget":
		return &policyv1.PodDisruptionBudget{}
	case "Ingress":
		return &networkingv1.Ingress{}
	default:
		return nil
	}
}

// groupOf is the API group of a kind of newObject. An owner with the same kind name
// in another group is a different kind.
func groupOf(kind string) string {
	switch kind {
	case "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet":
		return appsv1.GroupName
	case "Job", "CronJob":
		return batchv1.GroupName
	case "HorizontalPodAutoscaler":
		return autoscalingv2.GroupName
	case "PodDisruptionBudget":
		return policyv1.GroupName
	case "Ingress":
		return networkingv1.GroupName
	default:
		return corev1.GroupName
	}
}

// clusterScoped reports whether a kind is not namespaced.
func clusterScoped(kind string) bool {
	switch kind {
	case "Node", kindNamespace, "PersistentVolume":
		return true
	default:
		return false
	}
}

// podLabels returns the labels of a pod or of a workload's pod template, else nil.
func podLabels(o client.Object) map[string]string {
	switch o := o.(type) {
	case *corev1.Pod:
		return o.Labels
	case *corev1.ReplicationController:
		if o.Spec.Template != nil {
			return o.Spec.Template.Labels
		}
		return nil
	case *appsv1.ReplicaSet:
		return o.Spec.Template.Labels
	case *appsv1.Deployment:
		return o.Spec.Template.Labels
	case *appsv1.StatefulSet:
		return o.Spec.Template.Labels
	case *appsv1.DaemonSet:
		return o.Spec.Template.Labels
	case *batchv1.Job:
		return o.Spec.Template.Labels
	case *batchv1.CronJob:
		return o.Spec.JobTemplate.Spec.Template.Labels
	default:
		return nil
	}
}

// nodeOf is the name of a node, or of the node that a pod runs on, else empty.
func nodeOf(o client.Object) string {
	switch o := o.(type) {
	case *corev1.Pod:
		return o.Spec.NodeName
	case *corev1.Node:
		return o.Name
	default:
		return ""
	}
}
