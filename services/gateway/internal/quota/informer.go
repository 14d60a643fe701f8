package quota

import (
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	"kubernaut.ai/api/v1alpha1"
)

// Handler counts the requests that an informer reports. Add it before the
// informer starts.
func (q *Quota) Handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    q.observe,
		UpdateFunc: func(_, object any) { q.observe(object) },
		DeleteFunc: func(object any) {
			if last, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
				object = last.Obj
			}
			if request, ok := object.(*v1alpha1.RemediationRequest); ok {
				q.set(request, false)
			}
		},
	}
}

func (q *Quota) observe(object any) {
	if request, ok := object.(*v1alpha1.RemediationRequest); ok {
		q.set(request, counted(request))
	}
}

// counted reports whether a request counts: it is the Gateway's, it is open, and
// it is about one problem.
func counted(r *v1alpha1.RemediationRequest) bool {
	return r.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedByGateway && r.Spec.SignalType != v1alpha1.SignalTypeOverflow &&
		r.DeletionTimestamp.IsZero() && !r.Status.Phase.Terminal()
}

func (q *Quota) set(r *v1alpha1.RemediationRequest, open bool) {
	key := types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
	p := Problem{Sender: r.Annotations[v1alpha1.AnnotationSender], Namespace: r.Namespace}
	q.mu.Lock()
	defer q.mu.Unlock()
	if r.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedByGateway {
		q.senders.add(p.Sender, r.CreationTimestamp.Time, q.options.Clock.Now())
	}
	if reservation, ok := q.pending[key]; ok {
		reservation.end()
	}
	if before, ok := q.open[key]; ok {
		q.counts.add(before, -1)
		delete(q.open, key)
	}
	if open {
		q.counts.add(p, 1)
		q.open[key] = p
	}
}
