package cleanup

import (
	"context"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/client-go/rest"
)

const (
	// pageSize is how many Jobs are read in one request.
	pageSize = 250
	// maxReasons bounds the reasons that are counted separately: kinds of owners are anybody's.
	maxReasons = 20
)

// Options of Run. All are required.
type Options struct {
	// Config is the access to the API server. It needs to list and delete Jobs.
	Config    *rest.Config
	Namespace string
	// MinAge is how long ago a Job must have finished.
	MinAge time.Duration
	// MaxJobs bounds how many Jobs are deleted.
	MaxJobs int
	// Out receives one line for each deleted Job, and a summary.
	Out io.Writer
}

// Run deletes the oldest finished Jobs, and their pods with them. It stops at the first
// error; to run it again is harmless.
func Run(ctx context.Context, o Options) error {
	batch, err := batchv1client.NewForConfig(o.Config)
	if err != nil {
		return fmt.Errorf("client for Jobs: %w", err)
	}
	now, left := time.Now(), kept{}
	chosen, err := o.list(ctx, batch.Jobs(o.Namespace), now.Add(-o.MinAge), left)
	if err != nil {
		return err
	}
	deleted := 0
	for i := range chosen {
		job := &chosen[i]
		done, err := o.remove(ctx, batch.Jobs(o.Namespace), job)
		switch {
		case err != nil:
			return fmt.Errorf("%w; %d Jobs were deleted before", err, deleted)
		case !done:
			left["changed meanwhile"]++
			continue
		}
		deleted++
		_, _ = fmt.Fprintf(o.Out, "deleted Job %s/%s: %s %s ago\n", o.Namespace, job.name, job.how, now.Sub(job.at).Round(time.Second))
	}
	_, _ = fmt.Fprintf(o.Out, "deleted %d Jobs of namespace %s, %s\n", deleted, o.Namespace, left)
	return nil
}

// list returns at most MaxJobs Jobs, the oldest first. It never holds more than a page and
// MaxJobs of them.
func (o *Options) list(ctx context.Context, jobs batchv1client.JobInterface, limit time.Time, left kept) ([]finished, error) {
	var chosen []finished
	page := metav1.ListOptions{Limit: pageSize}
	for {
		list, err := jobs.List(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("list the Jobs of namespace %s: %w", o.Namespace, err)
		}
		for i := range list.Items {
			job, why := choose(&list.Items[i], limit)
			switch {
			case why == "":
				chosen = append(chosen, job)
			case left[why] == 0 && len(left) >= maxReasons:
				left["for other reasons"]++
			default:
				left[why]++
			}
		}
		var over int
		if chosen, over = oldest(chosen, o.MaxJobs); over > 0 {
			left[fmt.Sprintf("beyond --max-jobs %d", o.MaxJobs)] += over
		}
		if page.Continue = list.Continue; page.Continue == "" {
			return chosen, nil
		}
	}
}

// remove deletes a Job unless it was changed since it was listed, or is gone: then done is false.
// The garbage collector deletes its pods.
func (*Options) remove(ctx context.Context, jobs batchv1client.JobInterface, job *finished) (done bool, err error) {
	background := metav1.DeletePropagationBackground
	err = jobs.Delete(ctx, job.name, metav1.DeleteOptions{
		PropagationPolicy: &background,
		Preconditions:     &metav1.Preconditions{UID: &job.uid, ResourceVersion: &job.version},
	})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("delete Job %s: %w", job.name, err)
	}
	return true, nil
}
