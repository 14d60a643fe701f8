package podflush

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// VolumeError names the claims of a workload whose replicas no longer exist: what
// was not sent when they were scaled away is still on these volumes.
type VolumeError struct {
	Workload Workload
	Claims   []string
}

// Error names the claims and says what to do.
func (e *VolumeError) Error() string {
	return fmt.Sprintf("%s: volumes without a pod may hold events: %s; scale up again, or adopt each with the spool command and delete its claim",
		e.Workload, strings.Join(abridge(e.Claims), ", "))
}

// claimPrefixes gives the part of the names of a stateful set's claims that is
// before the ordinal.
func claimPrefixes(set *appsv1.StatefulSet) []string {
	prefixes := make([]string, 0, len(set.Spec.VolumeClaimTemplates))
	for i := range set.Spec.VolumeClaimTemplates {
		prefixes = append(prefixes, set.Spec.VolumeClaimTemplates[i].Name+"-"+set.Name+"-")
	}
	return prefixes
}

// UnusedClaims returns, sorted, the names of those among a namespace's claims that
// belong to a replica that the stateful set does not declare.
func UnusedClaims(set *appsv1.StatefulSet, claims []corev1.PersistentVolumeClaim) []string {
	first := int32(0)
	if set.Spec.Ordinals != nil {
		first = set.Spec.Ordinals.Start
	}
	return unusedClaims(claimPrefixes(set), first, ptr.Deref(set.Spec.Replicas, 1), claims)
}

func unusedClaims(prefixes []string, first, replicas int32, claims []corev1.PersistentVolumeClaim) []string {
	var unused []string
	for i := range claims {
		for _, prefix := range prefixes {
			ordinal, ok := ordinalOf(claims[i].Name, prefix)
			if ok && (ordinal < int64(first) || ordinal >= int64(first)+int64(replicas)) {
				unused = append(unused, claims[i].Name)
			}
		}
	}
	slices.Sort(unused)
	return slices.Compact(unused)
}

func ordinalOf(claim, prefix string) (int64, bool) {
	text, ok := strings.CutPrefix(claim, prefix)
	if !ok {
		return 0, false
	}
	ordinal, err := strconv.ParseInt(text, 10, 32)
	return ordinal, err == nil && ordinal >= 0 && strconv.FormatInt(ordinal, 10) == text
}

// noUnusedVolumes fails if the workload has volumes of replicas that it does not declare.
func (f *Flusher) noUnusedVolumes(ctx context.Context, w Workload, d *declaration) error {
	if len(d.claimPrefixes) == 0 {
		return nil
	}
	list, err := f.core.PersistentVolumeClaims(w.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("%s: look for volumes without a pod: %w", w, err)
	}
	if unused := unusedClaims(d.claimPrefixes, d.firstOrdinal, d.replicas, list.Items); len(unused) > 0 {
		return &VolumeError{Workload: w, Claims: unused}
	}
	return nil
}
