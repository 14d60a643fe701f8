package mustgather

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/ptr"
)

// group is that of our custom resources.
const group = "kubernaut.ai"

// signalLeases selects the Leases that stand for signals: there may be a great many.
const signalLeases = "app.kubernetes.io/managed-by=kubernaut-gateway"

// resourceWorkflows is the catalog of workflows.
const resourceWorkflows = "remediationworkflows"

// clusterSteps collect what belongs to no namespace.
func (r *run) clusterSteps(all *steps) {
	all.do("kubernaut.ai resources", collectOurResources)
	all.do("versions", collectVersions)
	all.do("API server's health", collectHealth)
	all.do("nodes", collectNodes)
	for name, gvr := range map[string]schema.GroupVersionResource{
		"cluster roles":         {Group: rbacv1.GroupName, Version: "v1", Resource: "clusterroles"},
		"cluster role bindings": {Group: rbacv1.GroupName, Version: "v1", Resource: "clusterrolebindings"},
	} {
		all.do(name, func(ctx context.Context, s *step) error { return s.clusterObjects(ctx, gvr, ours) })
	}
	for name, resource := range map[string]string{
		"admission policies": "validatingadmissionpolicies", "bindings of admission policies": "validatingadmissionpolicybindings",
	} {
		all.do(name, func(ctx context.Context, s *step) error { return collectAdmission(ctx, s, resource) })
	}
	all.do("storage classes", func(ctx context.Context, s *step) error {
		return s.clusterObjects(ctx, schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}, "")
	})
	all.do("persistent volumes", collectVolumes)
	all.do("events of all namespaces", findEvents)
}

// namespaced are the resources that are collected as one file for each namespace.
var namespaced = []schema.GroupVersionResource{
	{Version: "v1", Resource: "services"},
	{Version: "v1", Resource: "configmaps"},
	{Version: "v1", Resource: "serviceaccounts"},
	{Version: "v1", Resource: "persistentvolumeclaims"},
	{Version: "v1", Resource: "resourcequotas"},
	{Version: "v1", Resource: "limitranges"},
	{Group: appsv1.GroupName, Version: "v1", Resource: "deployments"},
	{Group: appsv1.GroupName, Version: "v1", Resource: "statefulsets"},
	{Group: appsv1.GroupName, Version: "v1", Resource: "replicasets"},
	{Group: appsv1.GroupName, Version: "v1", Resource: "daemonsets"},
	{Group: "batch", Version: "v1", Resource: "jobs"},
	{Group: "batch", Version: "v1", Resource: "cronjobs"},
	{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"},
	{Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
	{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
	{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"},
	{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
	{Group: rbacv1.GroupName, Version: "v1", Resource: "roles"},
	{Group: rbacv1.GroupName, Version: "v1", Resource: "rolebindings"},
}

// namespaceSteps collect what belongs to one namespace.
func (r *run) namespaceSteps(all *steps, namespace string) {
	in := func(name string, collect func(ctx context.Context, s *step, namespace string) error) {
		all.do(name+" in "+namespace, func(ctx context.Context, s *step) error { return collect(ctx, s, namespace) })
	}
	in("pods", collectPods)
	in("events", collectEvents)
	in("secrets' names", collectSecretNames)
	in("usage", collectUsage)
	in("leases", collectLeases)
	in("signal leases", collectSignalLeases)
	all.do("namespace "+namespace, func(ctx context.Context, s *step) error { return collectNamespace(ctx, s, namespace) })
	for _, gvr := range namespaced {
		in(resourceName(gvr), func(ctx context.Context, s *step, namespace string) error { return s.list(ctx, gvr, namespace, "") })
	}
}

// resourceName is the name that kubectl takes for a resource.
func resourceName(gvr schema.GroupVersionResource) string {
	return strings.TrimSuffix(gvr.Resource+"."+gvr.Group, ".")
}

// folder is that of a resource's API group.
func folder(gvr schema.GroupVersionResource) string { return cmp.Or(gvr.Group, "core") }

// each lists objects page by page, and goes on when do fails on one. The error names the command.
func (s *step) each(ctx context.Context, gvr schema.GroupVersionResource, namespace, selector string, do func(object *unstructured.Unstructured) error) error {
	const page, maxErrors = 500, 10
	options := metav1.ListOptions{LabelSelector: selector, Limit: page}
	command := "kubectl get " + resourceName(gvr) + where(namespace, selector)
	var errs []error
	for {
		list, err := s.dynamic.Resource(gvr).Namespace(namespace).List(ctx, options)
		if err != nil {
			return errors.Join(append(errs, by(missingResource(err, gvr), "%s", command))...)
		}
		for i := range list.Items {
			object := &list.Items[i]
			if object.GetKind() == "" { // the items of some lists have none
				object.SetAPIVersion(gvr.GroupVersion().String())
				object.SetKind(strings.TrimSuffix(list.GetKind(), "List"))
			}
			if err := do(object); err != nil && len(errs) < maxErrors {
				errs = append(errs, by(err, "%s %s", command, object.GetName()))
			}
		}
		if options.Continue = list.GetContinue(); options.Continue == "" {
			return errors.Join(errs...)
		}
	}
}

func where(namespace, selector string) string {
	var flags string
	if namespace != "" {
		flags += " -n " + namespace
	}
	if selector != "" {
		flags += " --selector " + selector
	}
	return flags
}

// missingResource says in kubectl's words that the cluster does not have a resource.
func missingResource(err error, gvr schema.GroupVersionResource) error {
	if apierrors.IsNotFound(err) && !strings.Contains(err.Error(), `"`) {
		return fmt.Errorf("the server doesn't have a resource type %q", resourceName(gvr))
	}
	return err
}

// text is an object's YAML without secrets.
func (s *step) text(object *unstructured.Unstructured) ([]byte, error) {
	s.files.redact.Object(object.Object)
	text, err := toYAML(object.Object)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", object.GetName(), err)
	}
	return text, nil
}

// list writes the objects of a namespace as one file.
func (s *step) list(ctx context.Context, gvr schema.GroupVersionResource, namespace, selector string) error {
	items := []any{}
	err := s.each(ctx, gvr, namespace, selector, func(object *unstructured.Unstructured) error {
		s.files.redact.Object(object.Object)
		items = append(items, object.Object)
		return nil
	})
	return errors.Join(err, s.saveList(gvr, namespace, items))
}

// saveList writes objects without secrets as one file.
func (s *step) saveList(gvr schema.GroupVersionResource, namespace string, items []any) error {
	if len(items) == 0 {
		return nil
	}
	text, err := toYAML(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		return fmt.Errorf("write %s: %w", gvr.Resource, err)
	}
	return s.files.save("namespaces/"+namespace+"/"+folder(gvr)+"/"+gvr.Resource+".yaml", string(text))
}

// clusterObjects writes a file for each object.
func (s *step) clusterObjects(ctx context.Context, gvr schema.GroupVersionResource, selector string) error {
	return s.each(ctx, gvr, "", selector, func(object *unstructured.Unstructured) error { return s.clusterObject(gvr, object) })
}

func (s *step) clusterObject(gvr schema.GroupVersionResource, object *unstructured.Unstructured) error {
	text, err := s.text(object)
	if err != nil {
		return err
	}
	return s.files.save("cluster-scoped-resources/"+folder(gvr)+"/"+gvr.Resource+"/"+safeName(object.GetName())+".yaml", string(text))
}

// collectAdmission collects our admission policies or their bindings, which are ours by their names, whatever labels
// were removed: a decision counts only while they are what was shipped.
func collectAdmission(ctx context.Context, s *step, resource string) error {
	gvr := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: resource}
	return s.each(ctx, gvr, "", "", func(object *unstructured.Unstructured) error {
		if !strings.HasSuffix(object.GetName(), "."+group) {
			return nil
		}
		return s.clusterObject(gvr, object)
	})
}

func collectVersions(_ context.Context, s *step) error {
	var errs []error
	client, err := discovery.NewDiscoveryClientForConfig(withTimeout(s.config, s.TimeLimit))
	if err != nil {
		return fmt.Errorf("find the API's resources: %w", err)
	}
	if server, err := client.ServerVersion(); err != nil {
		errs = append(errs, by(err, "kubectl version"))
	} else if fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(server); err == nil {
		text, err := toYAML(map[string]any{"serverVersion": fields})
		errs = append(errs, err, s.files.save("cluster-scoped-resources/version.yaml", string(text)))
	}
	lists, err := client.ServerPreferredResources()
	errs = append(errs, by(err, "kubectl api-resources -o wide"))
	rows := [][]string{{"NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", "VERBS"}}
	for _, list := range lists {
		for i := range list.APIResources {
			a := &list.APIResources[i]
			rows = append(rows, []string{
				a.Name, strings.Join(a.ShortNames, ","), list.GroupVersion, strconv.FormatBool(a.Namespaced), a.Kind, strings.Join(a.Verbs, ","),
			})
		}
	}
	errs = append(errs, s.files.save("cluster-scoped-resources/api-resources.txt", columns(rows)))
	return errors.Join(errs...)
}

func collectHealth(ctx context.Context, s *step) error {
	text, err := s.client.CoreV1().RESTClient().Get().AbsPath("/readyz").Param("verbose", "").Do(ctx).Raw()
	return errors.Join(by(err, "kubectl get --raw /readyz?verbose"), s.files.save("cluster-scoped-resources/apiserver-readyz.txt", string(text)))
}

func collectNodes(ctx context.Context, s *step) error {
	nodes := schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	if err := s.clusterObjects(ctx, nodes, ""); err != nil {
		return err // the table would fail in the same way
	}
	return s.table(ctx, nodes, "", "cluster-scoped-resources/core/nodes.txt")
}

// collectOurResources collects our definitions, and all objects of them.
func collectOurResources(ctx context.Context, s *step) error {
	definitions := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	var found []schema.GroupVersionResource
	err := s.each(ctx, definitions, "", "", func(object *unstructured.Unstructured) error {
		if named, _, _ := unstructured.NestedString(object.Object, "spec", "group"); named != group {
			return nil
		}
		found = append(found, storedVersion(object))
		return s.clusterObject(definitions, object)
	})
	if len(found) == 0 {
		if err == nil {
			s.missed("definitions of kubernaut.ai", "the cluster has none: is Kubernaut installed?", "kubectl get customresourcedefinitions")
		}
		for _, resource := range []string{
			"remediationrequests", "signalprocessings", "workflowexecutions", "remediationapprovals", "remediationcommands",
			resourceWorkflows, "pauseswitches",
		} {
			found = append(found, schema.GroupVersionResource{Group: group, Version: "v1alpha1", Resource: resource})
		}
	}
	errs := make([]error, len(found))
	s.concurrently(len(found), func(i int) {
		// The table takes little where there are too many objects to read in time.
		errs[i] = errors.Join(s.table(ctx, found[i], "", "kubernaut.ai/"+found[i].Resource+".txt"), s.ourObjects(ctx, found[i]))
	})
	return errors.Join(slices.Insert(errs, 0, err)...)
}

// storedVersion is a version of a custom resource that is served, preferably the stored one.
func storedVersion(definition *unstructured.Unstructured) schema.GroupVersionResource {
	gvr := schema.GroupVersionResource{Group: group}
	gvr.Resource, _, _ = unstructured.NestedString(definition.Object, "spec", "names", "plural")
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	for _, version := range versions {
		fields, _ := version.(map[string]any)
		name, _ := fields["name"].(string)
		if served, _ := fields["served"].(bool); !served {
			continue
		}
		if stored, _ := fields["storage"].(bool); stored || gvr.Version == "" {
			gvr.Version = name
		}
	}
	return gvr
}

func (s *step) ourObjects(ctx context.Context, gvr schema.GroupVersionResource) error {
	elsewhere := 0
	err := s.each(ctx, gvr, "", "", func(object *unstructured.Unstructured) error {
		if object.GetNamespace() == "" {
			return s.clusterObject(gvr, object)
		}
		if gvr.Resource != resourceWorkflows { // which are about no request
			s.remember(object)
		}
		if !slices.Contains(s.Namespaces, object.GetNamespace()) && !slices.Contains(s.CorrelationIDs, object.GetName()) {
			if elsewhere++; elsewhere > s.MaxObjects {
				return nil
			}
		}
		text, err := s.text(object)
		if err != nil {
			return err
		}
		file := "namespaces/" + safeName(object.GetNamespace()) + "/kubernaut.ai/" + gvr.Resource + "/" + safeName(object.GetName()) + ".yaml"
		return s.files.save(file, string(text))
	})
	if beyond := elsewhere - s.MaxObjects; beyond > 0 {
		s.missed(fmt.Sprintf("%d of the %s", beyond, gvr.Resource), "there are more than the bound; the table lists them",
			"kubectl get "+gvr.Resource+" -A -o yaml")
	}
	return err
}

// collectVolumes collects those that our claims use.
func collectVolumes(ctx context.Context, s *step) error {
	volumes := schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}
	var errs []error
	var names []string
	for _, namespace := range s.Namespaces {
		claims, err := s.client.CoreV1().PersistentVolumeClaims(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			errs = append(errs, by(err, "kubectl get persistentvolumeclaims -n %s", namespace))
			continue
		}
		for i := range claims.Items {
			if name := claims.Items[i].Spec.VolumeName; name != "" {
				names = append(names, name)
			}
		}
	}
	failed := make([]error, len(names))
	s.concurrently(len(names), func(i int) {
		volume, err := s.dynamic.Resource(volumes).Get(ctx, names[i], metav1.GetOptions{})
		if err != nil {
			failed[i] = by(err, "kubectl get persistentvolumes %s", names[i])
			return
		}
		failed[i] = s.clusterObject(volumes, volume)
	})
	return errors.Join(append(errs, failed...)...)
}

func collectNamespace(ctx context.Context, s *step, namespace string) error {
	object, err := s.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, namespace, metav1.GetOptions{})
	if err != nil {
		return by(err, "kubectl get namespaces %s", namespace)
	}
	text, err := s.text(object)
	if err != nil {
		return err
	}
	return s.files.save("namespaces/"+namespace+"/"+namespace+".yaml", string(text))
}

// collectSecretNames writes names, types and keys: values never leave this function.
func collectSecretNames(ctx context.Context, s *step, namespace string) error {
	list, err := s.client.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return by(err, "kubectl get secrets -n %s", namespace)
	}
	var text strings.Builder
	text.WriteString("# Values are never collected.\n")
	for i := range list.Items {
		secret := &list.Items[i]
		fmt.Fprintf(&text, "- name: %s\n  type: %s\n  keys:\n", secret.Name, secret.Type)
		keys := make([]string, 0, len(secret.Data))
		for key := range secret.Data {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			fmt.Fprintf(&text, "  - %s\n", key)
		}
	}
	return s.files.save("namespaces/"+namespace+"/core/secrets.yaml", text.String())
}

// collectLeases writes the Leases, but those that stand for signals.
func collectLeases(ctx context.Context, s *step, namespace string) error {
	leases := schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}
	return s.list(ctx, leases, namespace, strings.Replace(signalLeases, "=", "!=", 1))
}

// collectSignalLeases writes a table of the Leases that stand for signals.
func collectSignalLeases(ctx context.Context, s *step, namespace string) error {
	const page = 500
	rows := [][]string{{"RENEWED", "REQUEST-IN", "REQUEST", "LEASE"}}
	options := metav1.ListOptions{LabelSelector: signalLeases, Limit: page}
	for {
		list, err := s.lists.CoordinationV1().Leases(namespace).List(ctx, options)
		if err != nil {
			return by(err, "kubectl get leases.coordination.k8s.io%s", where(namespace, signalLeases))
		}
		for i := range list.Items {
			lease := &list.Items[i]
			renewed := "-"
			if lease.Spec.RenewTime != nil {
				renewed = lease.Spec.RenewTime.UTC().Format(metav1.RFC3339Micro)
			}
			rows = append(rows, []string{
				renewed, cmp.Or(lease.Annotations["kubernaut.ai/request-namespace"], "-"), cmp.Or(ptr.Deref(lease.Spec.HolderIdentity, ""), "-"), lease.Name,
			})
		}
		if options.Continue = list.Continue; options.Continue == "" {
			break
		}
	}
	if len(rows) == 1 {
		return nil
	}
	return s.files.save("namespaces/"+namespace+"/coordination.k8s.io/signal-leases.txt", columns(rows))
}

// collectUsage reads what kubectl top shows.
func collectUsage(ctx context.Context, s *step, namespace string) error {
	metrics := schema.GroupVersionResource{Group: "metrics.k8s.io", Version: "v1beta1", Resource: "pods"}
	list, err := s.dynamic.Resource(metrics).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		if apierrors.IsNotFound(err) {
			err = fmt.Errorf("Metrics API not available: %w", err) //nolint:staticcheck // as kubectl says it
		}
		return by(err, "kubectl top pods -n %s --containers", namespace)
	}
	rows := [][]string{{"POD", "NAME", "CPU", "MEMORY"}}
	for i := range list.Items {
		containers, _, _ := unstructured.NestedSlice(list.Items[i].Object, "containers")
		for _, container := range containers {
			fields, _ := container.(map[string]any)
			name, _ := fields["name"].(string)
			usage, _ := fields["usage"].(map[string]any)
			rows = append(rows, []string{list.Items[i].GetName(), name, fmt.Sprint(usage["cpu"]), fmt.Sprint(usage["memory"])})
		}
	}
	return s.files.save("namespaces/"+namespace+"/usage.txt", columns(rows))
}

// collectEvents writes the events of a namespace, as objects and as lines in order of time.
func collectEvents(ctx context.Context, s *step, namespace string) error {
	list, err := s.lists.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return by(err, "kubectl get events -n %s", namespace)
	}
	lines := make([]string, len(list.Items))
	items := make([]any, 0, len(list.Items))
	var errs []error
	for i := range list.Items {
		e := &list.Items[i]
		lines[i] = strings.Join([]string{
			eventTime(e), e.Type, e.Reason, e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name, strconv.Itoa(int(max(1, e.Count))), fmt.Sprintf("%q", e.Message),
		}, "\t") + "\n"
		e.APIVersion, e.Kind = "v1", "Event" // the items of a list have none
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(e)
		if err != nil {
			errs = append(errs, fmt.Errorf("write event %s: %w", e.Name, err))
			continue
		}
		s.files.redact.Object(object)
		items = append(items, object)
	}
	slices.Sort(lines)
	return errors.Join(append(errs,
		s.saveList(schema.GroupVersionResource{Version: "v1", Resource: "events"}, namespace, items),
		s.files.save("namespaces/"+namespace+"/events.txt", strings.Join(lines, "")))...)
}

// findEvents reads the events for timelines.
func findEvents(ctx context.Context, s *step) error {
	list, err := s.lists.CoreV1().Events("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return by(err, "kubectl get events -A")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = list.Items
	return nil
}

// eventTime is the time of an event, which is in one of several fields.
func eventTime(e *corev1.Event) string {
	const form = "2006-01-02T15:04:05.999999Z07:00"
	switch {
	case e.Series != nil && !e.Series.LastObservedTime.IsZero():
		return e.Series.LastObservedTime.UTC().Format(form)
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.UTC().Format(form)
	case !e.EventTime.IsZero():
		return e.EventTime.UTC().Format(form)
	}
	return e.CreationTimestamp.UTC().Format(form)
}
