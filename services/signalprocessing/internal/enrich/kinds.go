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

// newObject returns an empty object of a kind that signals speak of, or nil.
// These kinds are also the ones that the service's role may read; an owner of
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

// groupOf is the API group of a kind that newObject knows: an owner of the
// same kind in another group is another kind.
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

// clusterScoped tells whether objects of a kind live in no namespace.
func clusterScoped(kind string) bool {
	switch kind {
	case "Node", kindNamespace, "PersistentVolume":
		return true
	default:
		return false
	}
}

// podLabels are the labels of the pods that an object is or makes; nil where it makes none.
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

// nodeOf is the node that an object runs on, or is; empty where it is on none.
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
