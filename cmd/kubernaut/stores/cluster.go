package stores

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit/control"
	"kubernaut.ai/pkg/audittrail/podflush"
	"kubernaut.ai/pkg/audittrail/podforward"
)

const (
	// platform selects the workloads of the platform.
	platform = "app.kubernetes.io/part-of=kubernaut"
	// askTimeout bounds the questions to one pod.
	askTimeout = 30 * time.Second
)

// cluster is the connection to the API server.
type cluster struct {
	config      *rest.Config
	clients     kubernetes.Interface
	namespace   string
	controlPort int
}

// workload is one with its pods and its volumes without a pod.
type workload struct {
	name    string // as in statefulset/gateway
	pods    []pod
	volumes []string
}

// pod is a pod whose store can be asked.
type pod struct {
	workload, namespace, name string
	// recorder is the name under which DataStorage knows its service account.
	recorder string
	// missing says why it cannot be asked; empty if it can.
	missing string
}

// checkWorkload checks NAME, statefulset/NAME or deployment/NAME.
func checkWorkload(text string) error {
	_, name, err := splitWorkload(text)
	if err != nil {
		return err
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

func splitWorkload(text string) (podflush.Kind, string, error) {
	kind, name, found := strings.Cut(text, "/")
	if !found {
		return podflush.StatefulSet, text, nil
	}
	switch strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(kind), ".apps"), "s") {
	case "statefulset", "st":
		return podflush.StatefulSet, name, nil
	case "deployment", "deploy":
		return podflush.Deployment, name, nil
	}
	return "", "", fmt.Errorf("kind %q: want statefulset/NAME or deployment/NAME", kind)
}

// connect uses a kubeconfig as kubectl does.
func (o *options) connect() (*cluster, error) {
	config, namespace, err := o.Config()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, cli.Usagef("--kubeconfig: %w", err)
	}
	return &cluster{config: config, clients: clients, namespace: namespace, controlPort: o.controlPort}, nil
}

// find returns a workload, or all of the platform that have a store if text is empty.
func (c *cluster) find(ctx context.Context, text string) ([]workload, error) {
	if text == "" {
		return c.findAll(ctx)
	}
	kind, name, err := splitWorkload(text)
	if err != nil {
		return nil, cli.Usagef("%s: %w", text, err)
	}
	if kind == podflush.Deployment {
		list, err := c.clients.AppsV1().Deployments(c.namespace).List(ctx, only(name))
		if err != nil {
			return nil, err //nolint:wrapcheck // says what is not permitted
		}
		if len(list.Items) == 0 {
			return nil, fmt.Errorf("namespace %s has no Deployment %s", c.namespace, name)
		}
		w, err := c.describeDeployment(ctx, &list.Items[0])
		return []workload{w}, err
	}
	list, err := c.clients.AppsV1().StatefulSets(c.namespace).List(ctx, only(name))
	if err != nil {
		return nil, err //nolint:wrapcheck // says what is not permitted
	}
	if len(list.Items) == 0 {
		return nil, fmt.Errorf("namespace %s has no StatefulSet %s", c.namespace, name)
	}
	w, err := c.describe(ctx, &list.Items[0])
	return []workload{w}, err
}

// only selects an object by its name: whoever may flush the pods may list workloads.
func only(name string) metav1.ListOptions {
	return metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()}
}

func (c *cluster) findAll(ctx context.Context) ([]workload, error) {
	sets, err := c.clients.AppsV1().StatefulSets(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: platform})
	if err != nil {
		return nil, err //nolint:wrapcheck // says what is not permitted
	}
	var found []workload
	for i := range sets.Items {
		set := &sets.Items[i]
		if !slices.ContainsFunc(set.Spec.Template.Spec.Containers, hasManagement) {
			continue // a database, for example
		}
		w, err := c.describe(ctx, set)
		if err != nil {
			return nil, err
		}
		found = append(found, w)
	}
	deployments, err := c.clients.AppsV1().Deployments(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: platform})
	if err != nil {
		return nil, err //nolint:wrapcheck // says what is not permitted
	}
	for i := range deployments.Items {
		deployment := &deployments.Items[i]
		if !slices.ContainsFunc(deployment.Spec.Template.Spec.Containers, hasSpool) {
			continue // it records nothing, or in the database only
		}
		w, err := c.describeDeployment(ctx, deployment)
		if err != nil {
			return nil, err
		}
		found = append(found, w)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("namespace %s has no StatefulSet of the platform (%s), and no Deployment with a spool: choose another with --namespace", c.namespace, platform)
	}
	return found, nil
}

// hasManagement tells the services of the platform from what else it runs.
func hasManagement(container corev1.Container) bool {
	return slices.ContainsFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == "management" })
}

// hasSpool tells a Deployment with an audit store from others, which have management ports as well.
func hasSpool(container corev1.Container) bool {
	return slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "spool" })
}

func (c *cluster) describeDeployment(ctx context.Context, deployment *appsv1.Deployment) (workload, error) {
	w := workload{name: "deployment/" + deployment.Name}
	var err error
	w.pods, err = c.podsOf(ctx, w.name, deployment.Spec.Selector)
	return w, err
}

// describe finds the pods and the unused volumes of a stateful set.
func (c *cluster) describe(ctx context.Context, set *appsv1.StatefulSet) (workload, error) {
	w := workload{name: "statefulset/" + set.Name}
	var err error
	if w.pods, err = c.podsOf(ctx, w.name, set.Spec.Selector); err != nil {
		return w, err
	}
	if len(set.Spec.VolumeClaimTemplates) == 0 {
		return w, nil
	}
	claims, err := c.clients.CoreV1().PersistentVolumeClaims(c.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return w, err //nolint:wrapcheck // says what is not permitted
	}
	w.volumes = podflush.UnusedClaims(set, claims.Items)
	return w, nil
}

func (c *cluster) podsOf(ctx context.Context, workload string, selector *metav1.LabelSelector) ([]pod, error) {
	labels, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", workload, err)
	}
	list, err := c.clients.CoreV1().Pods(c.namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.String()})
	if err != nil {
		return nil, err //nolint:wrapcheck // says what is not permitted
	}
	pods := make([]pod, 0, len(list.Items))
	for i := range list.Items {
		p := &list.Items[i]
		one := pod{
			workload: workload, namespace: p.Namespace, name: p.Name,
			recorder: "system:serviceaccount:" + p.Namespace + ":" + serviceAccount(p),
		}
		if p.Status.Phase != corev1.PodRunning {
			one.missing = "the pod is " + string(p.Status.Phase)
		}
		pods = append(pods, one)
	}
	slices.SortFunc(pods, func(a, b pod) int { return strings.Compare(a.name, b.name) })
	return pods, nil
}

func serviceAccount(p *corev1.Pod) string {
	if p.Spec.ServiceAccountName == "" {
		return "default"
	}
	return p.Spec.ServiceAccountName
}

// ask calls do with a connection to the control listener of a pod.
func (c *cluster) ask(ctx context.Context, p pod, do func(*control.Client) error) error {
	if p.missing != "" {
		return errors.New(p.missing)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	forward, err := podforward.Open(ctx, c.config, p.namespace, p.name, c.controlPort)
	if err != nil {
		return err //nolint:wrapcheck // names the pod
	}
	defer forward.Close()
	return do(&control.Client{URL: forward.URL})
}
