// Package requests has the commands with which people follow remediation requests and
// decide about them. They act with the rights of whoever runs them.
package requests

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/kube"
)

const (
	// maxCompletions bounds the names that a shell is offered.
	maxCompletions = 200
	maxReason      = 1024
)

// Commands are the commands about requests. Their flags can also be set by
// environment variables with the prefix.
func Commands(prefix string) []*cobra.Command {
	return []*cobra.Command{
		trailCommand(prefix), reconstructCommand(prefix), executionsCommand(prefix),
		decideCommand(prefix, v1alpha1.VerdictApprove), decideCommand(prefix, v1alpha1.VerdictReject),
		orderCommand(prefix, v1alpha1.CommandRetry), orderCommand(prefix, v1alpha1.CommandClose),
		pauseCommand(prefix, true), pauseCommand(prefix, false),
	}
}

// oneName accepts the name of one resource.
func oneName(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return cli.Usagef("%s takes one name, got %d arguments", c.CommandPath(), len(args))
	}
	if problems := validation.IsDNS1123Subdomain(args[0]); len(problems) > 0 {
		return cli.Usagef("%q: %s", args[0], strings.Join(problems, "; "))
	}
	return nil
}

func checkReason(text string) error {
	if len([]rune(text)) > maxReason {
		return fmt.Errorf("want at most %d characters", maxReason)
	}
	return nil
}

// cluster is the connection to the API server.
type cluster struct {
	client.Client

	people    kubernetes.Interface
	namespace string
}

func connect(o *connection.Flags) (*cluster, error) {
	config, namespace, err := o.Config()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	return connectWith(config, namespace)
}

func connectWith(config *rest.Config, namespace string) (*cluster, error) {
	people, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, cli.Usagef("--kubeconfig: %w", err)
	}
	scheme, err := kube.Scheme()
	if err != nil {
		return nil, err //nolint:wrapcheck // says what
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	return &cluster{Client: c, people: people, namespace: namespace}, nil
}

// me is who the API server takes the caller for.
func (c *cluster) me(ctx context.Context) (v1alpha1.Decider, error) {
	review, err := c.people.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return v1alpha1.Decider{}, fmt.Errorf("ask the API server who you are: %w", err)
	}
	user := review.Status.UserInfo
	return v1alpha1.Decider{Name: user.Username, UID: user.UID, Groups: user.Groups}, nil
}

// request reads a request, and says what to do if there is none.
func (c *cluster) request(ctx context.Context, name string) (*v1alpha1.RemediationRequest, error) {
	found := &v1alpha1.RemediationRequest{}
	err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, found)
	if apierrors.IsNotFound(err) {
		return nil, c.absent("request", name)
	}
	if err != nil {
		return nil, fmt.Errorf("read request %s/%s: %w", c.namespace, name, err)
	}
	return found, nil
}

func (c *cluster) absent(what, name string) error {
	return fmt.Errorf("namespace %s has no %s %s: a request is in the namespace of its target; choose it with --namespace (kubectl get rr -A lists all)",
		c.namespace, what, name)
}

// completeNames offers the names of what a list finds in the cluster.
func completeNames(at *connection.Flags, names func(context.Context, *cluster) ([]string, error)) cobra.CompletionFunc {
	return cli.CompleteName(func(ctx context.Context) ([]string, error) {
		connected, err := connect(at)
		if err != nil {
			return nil, err
		}
		return names(ctx, connected)
	})
}

// CompleteRequests offers the names of requests.
func CompleteRequests(at *connection.Flags) cobra.CompletionFunc {
	return completeNames(at, requestNames(func(*v1alpha1.RemediationRequest) bool { return true }))
}

// requestNames are those of the newest requests in the namespace that fit.
func requestNames(fits func(*v1alpha1.RemediationRequest) bool) func(context.Context, *cluster) ([]string, error) {
	return func(ctx context.Context, c *cluster) ([]string, error) {
		list := &v1alpha1.RemediationRequestList{}
		if err := c.List(ctx, list, client.InNamespace(c.namespace), client.Limit(maxCompletions)); err != nil {
			return nil, err //nolint:wrapcheck // nobody sees it
		}
		var names []string
		for i := range list.Items {
			if fits(&list.Items[i]) {
				names = append(names, list.Items[i].Name)
			}
		}
		return names, nil
	}
}

// proposalNames are those of executions that wait for a decision.
func proposalNames(ctx context.Context, c *cluster) ([]string, error) {
	list := &v1alpha1.WorkflowExecutionList{}
	if err := c.List(ctx, list, client.InNamespace(c.namespace), client.Limit(maxCompletions)); err != nil {
		return nil, err //nolint:wrapcheck // nobody sees it
	}
	var names []string
	for i := range list.Items {
		if isProposed(&list.Items[i]) {
			names = append(names, list.Items[i].Name)
		}
	}
	return names, nil
}

var errDeclined = errors.New("nothing was done: answer yes, or give --yes")
