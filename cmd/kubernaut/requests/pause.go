package requests

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/internal/cli"
)

// annotationBefore keeps the value that a namespace's label had before a pause.
const annotationBefore = "kubernaut.ai/remediation-before-pause"

func pauseCommand(prefix string, paused bool) *cobra.Command {
	var at connection.Flags
	var reason string
	word, short := "resume", "Let executions start again"
	if paused {
		word, short = "pause", "Let no new execution start, in the cluster or a namespace"
	}
	c := &cobra.Command{
		Use:   word,
		Short: short,
		Long: `Write the PauseSwitch of the cluster, under the name that the API server knows you by;
with --namespace, the label kubernaut.ai/remediation of that namespace. An execution
that has started is not stopped. Both are read before each first write.`,
		Example: "  kubernaut " + word + ` --reason "maintenance of the network"` + "\n  kubernaut " + word + ` --namespace shop`,
		Args:    cli.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if at.Namespace == "" && reason == "" {
				return cli.Usagef("--reason is required: it is a part of the trail")
			}
			if at.Namespace != "" && reason != "" {
				return cli.Usagef("--reason goes with the switch of the cluster: a label of a namespace has no reason")
			}
			connected, err := connect(&at)
			if err != nil {
				return err
			}
			if at.Namespace != "" {
				return connected.pauseNamespace(c.Context(), paused, c.OutOrStdout())
			}
			return connected.pauseCluster(c.Context(), paused, reason, c.OutOrStdout())
		},
	}
	return cli.WithFlags(c, prefix, func(f *cli.Flags) {
		at.DeclareCluster(f)
		f.String(&at.Namespace, "namespace", "", "only this namespace; none: the whole cluster", cli.Shorthand("n"))
		f.String(&reason, "reason", "", "why; a part of the trail", cli.Check(checkReason))
	})
}

func state(paused bool) string {
	if paused {
		return "paused"
	}
	return "running"
}

// pauseCluster writes the switch on condition that nobody has since it was read.
func (c *cluster) pauseCluster(ctx context.Context, paused bool, reason string, out io.Writer) error {
	me, err := c.me(ctx)
	if err != nil {
		return err
	}
	spec := v1alpha1.PauseSwitchSpec{Paused: paused, Reason: reason, ChangedBy: me}
	found := &v1alpha1.PauseSwitch{}
	err = c.Get(ctx, client.ObjectKey{Name: v1alpha1.PauseSwitchName}, found)
	switch {
	case apierrors.IsNotFound(err) && !paused:
		return writef(out, "the cluster is running: nobody has ever paused it\n")
	case apierrors.IsNotFound(err):
		err = c.Create(ctx, &v1alpha1.PauseSwitch{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.PauseSwitchName}, Spec: spec})
	case err != nil:
		return fmt.Errorf("read the pause switch: %w", err)
	case found.Spec.Paused == paused:
		return writef(out, "the cluster is %s: %s did it, because: %s\n", state(paused), found.Spec.ChangedBy.Name, found.Spec.Reason)
	default:
		found.Spec = spec
		err = c.Update(ctx, found)
	}
	if err != nil {
		return fmt.Errorf("write the pause switch: %w", err)
	}
	return writef(out, "the cluster is %s: pauseswitch %s written by %s\n", state(paused), v1alpha1.PauseSwitchName, me.Name)
}

// pauseNamespace changes the label of a namespace, and keeps what it was.
func (c *cluster) pauseNamespace(ctx context.Context, paused bool, out io.Writer) error {
	ns := &corev1.Namespace{}
	if err := c.Get(ctx, client.ObjectKey{Name: c.namespace}, ns); err != nil {
		return fmt.Errorf("read namespace %s: %w", c.namespace, err)
	}
	if (ns.Labels[v1alpha1.LabelRemediation] == v1alpha1.RemediationPaused) == paused {
		return writef(out, "namespace %s is %s already\n", ns.Name, state(paused))
	}
	before := ns.DeepCopy()
	if paused {
		metav1.SetMetaDataAnnotation(&ns.ObjectMeta, annotationBefore, ns.Labels[v1alpha1.LabelRemediation])
		metav1.SetMetaDataLabel(&ns.ObjectMeta, v1alpha1.LabelRemediation, v1alpha1.RemediationPaused)
	} else {
		delete(ns.Labels, v1alpha1.LabelRemediation)
		if earlier := ns.Annotations[annotationBefore]; earlier != "" {
			metav1.SetMetaDataLabel(&ns.ObjectMeta, v1alpha1.LabelRemediation, earlier)
		}
		delete(ns.Annotations, annotationBefore)
	}
	if err := c.Patch(ctx, ns, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("label namespace %s: %w", ns.Name, err)
	}
	label := ns.Labels[v1alpha1.LabelRemediation]
	if label == "" {
		return writef(out, "namespace %s is %s: it has no label %s, so there are only proposals\n", ns.Name, state(paused), v1alpha1.LabelRemediation)
	}
	return writef(out, "namespace %s is %s: %s=%s\n", ns.Name, state(paused), v1alpha1.LabelRemediation, label)
}
