package podflush_test

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"kubernaut.ai/pkg/audittrail/podflush"
)

func claims(names ...string) []corev1.PersistentVolumeClaim {
	list := make([]corev1.PersistentVolumeClaim, 0, len(names))
	for _, name := range names {
		list = append(list, corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}})
	}
	return list
}

func TestUnusedClaimsAreThoseOfReplicasThatAreNotDeclared(t *testing.T) {
	t.Parallel()
	set := func(replicas *int32, start int32) *appsv1.StatefulSet {
		s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "gateway"}, Spec: appsv1.StatefulSetSpec{
			Replicas: replicas, VolumeClaimTemplates: claims("spool", "cache"),
		}}
		if start > 0 {
			s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: start}
		}
		return s
	}
	all := claims("spool-gateway-0", "spool-gateway-1", "spool-gateway-2", "cache-gateway-2", "spool-gateway-10",
		"spool-gateway-02", "spool-gateway-x", "spool-gateway-", "spool-gateway-canary-7", "data-gateway-7", "spool-signalprocessing-7")
	for name, test := range map[string]struct {
		set  *appsv1.StatefulSet
		want []string
	}{
		"two replicas":       {set(ptr.To[int32](2), 0), []string{"cache-gateway-2", "spool-gateway-10", "spool-gateway-2"}},
		"one by default":     {set(nil, 0), []string{"cache-gateway-2", "spool-gateway-1", "spool-gateway-10", "spool-gateway-2"}},
		"none":               {set(ptr.To[int32](0), 0), []string{"cache-gateway-2", "spool-gateway-0", "spool-gateway-1", "spool-gateway-10", "spool-gateway-2"}},
		"ordinals from 1 on": {set(ptr.To[int32](2), 1), []string{"spool-gateway-0", "spool-gateway-10"}},
		"enough":             {set(ptr.To[int32](11), 0), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := podflush.UnusedClaims(test.set, all); !slices.Equal(got, test.want) {
				t.Errorf("unused: %q, want %q", got, test.want)
			}
		})
	}
}
