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
	r.volumeSteps(all)
	r.eventSteps(all)
}

// namespaced are the resources that are collected as one file for each namespace.
var namespaced = []schema.GroupVersionResource{
	{Version: "v1", Resource: "services"},
	{Version: "v1", Resource: "configmaps"},
	{Version: "v1", Resource: "serviceaccounts"},
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
	in("secrets' names", collectSecretNames)
	in("usage", collectUsage)
	in("leases", collectLeases)
	in("signal leases", collectSignalLeases)
	all.do("namespace "+namespace, func(ctx context.Context, s *step) error { return collectNamespace(ctx, s, namespace) })
	for _, gvr := range namespaced {
		in(resourceName(gvr), func(ctx context.Context, s *step, namespace string) error { return s.list(ctx, gvr, namespace, "") })
	}
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
	return s.tabled(ctx, nodes, "", "cluster-scoped-resources/core/nodes.txt", func(object *unstructured.Unstructured) error {
		return s.clusterObject(nodes, object)
	})
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
		errs[i] = s.ourObjects(ctx, found[i])
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
	err := s.tabled(ctx, gvr, "", "kubernaut.ai/"+gvr.Resource+".txt", func(object *unstructured.Unstructured) error {
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

// volumeSteps collect our claims, and the volumes that they use.
func (r *run) volumeSteps(all *steps) {
	claims := schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
	all.sequence(func(do func(name string, collect collector)) {
		var names []string
		for _, namespace := range r.Namespaces {
			do("persistentvolumeclaims in "+namespace, func(ctx context.Context, s *step) error {
				return s.listEach(ctx, claims, namespace, "", func(claim *unstructured.Unstructured) {
					if name, _, _ := unstructured.NestedString(claim.Object, "spec", "volumeName"); name != "" {
						names = append(names, name)
					}
				})
			})
		}
		do("persistent volumes", func(ctx context.Context, s *step) error { return s.collectVolumes(ctx, names) })
	})
}

func (s *step) collectVolumes(ctx context.Context, names []string) error {
	volumes := schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumes"}
	failed := make([]error, len(names))
	s.concurrently(len(names), func(i int) {
		volume, err := s.read(ctx, volumes, "", names[i], jsonForm, nil)
		if err != nil {
			failed[i] = by(err, "kubectl get persistentvolumes %s", names[i])
			return
		}
		failed[i] = s.clusterObject(volumes, objectOf(volume))
	})
	return errors.Join(failed...)
}

func collectNamespace(ctx context.Context, s *step, namespace string) error {
	object, err := s.read(ctx, schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "", namespace, jsonForm, nil)
	if err != nil {
		return by(err, "kubectl get namespaces %s", namespace)
	}
	text, err := s.text(objectOf(object))
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
	list, err := s.read(ctx, metrics, namespace, "", jsonForm, nil)
	if err != nil {
		if apierrors.IsNotFound(err) {
			err = fmt.Errorf("Metrics API not available: %w", err) //nolint:staticcheck // as kubectl says it
		}
		return by(err, "kubectl top pods -n %s --containers", namespace)
	}
	rows := [][]string{{"POD", "NAME", "CPU", "MEMORY"}}
	items, _ := list["items"].([]any)
	for _, item := range items {
		pod := objectOf(item)
		containers, _ := pod.Object["containers"].([]any)
		for _, container := range containers {
			fields, _ := container.(map[string]any)
			name, _ := fields["name"].(string)
			usage, _ := fields["usage"].(map[string]any)
			rows = append(rows, []string{pod.GetName(), name, fmt.Sprint(usage["cpu"]), fmt.Sprint(usage["memory"])})
		}
	}
	return s.files.save("namespaces/"+namespace+"/usage.txt", columns(rows))
}
