package mustgather

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// resourceName is the name that kubectl takes for a resource.
func resourceName(gvr schema.GroupVersionResource) string {
	return strings.TrimSuffix(gvr.Resource+"."+gvr.Group, ".")
}

// folder is that of a resource's API group.
func folder(gvr schema.GroupVersionResource) string { return cmp.Or(gvr.Group, "core") }

const (
	pageObjects = 500 // of a list
	listErrors  = 10  // that are named of one list
)

// each lists objects page by page, and goes on when do fails on one. The error names the command.
func (s *step) each(ctx context.Context, gvr schema.GroupVersionResource, namespace, selector string, do func(object *unstructured.Unstructured) error) error {
	return s.pages(ctx, gvr, namespace, metav1.ListOptions{LabelSelector: selector, Limit: pageObjects}, do)
}

func (s *step) pages(
	ctx context.Context, gvr schema.GroupVersionResource, namespace string, options metav1.ListOptions, do func(object *unstructured.Unstructured) error,
) error {
	command := "kubectl get " + resourceName(gvr) + where(namespace, options.LabelSelector)
	var errs []error
	for {
		list, err := s.read(ctx, gvr, namespace, "", jsonForm, &options)
		if err != nil {
			return errors.Join(append(errs, by(missingResource(err, gvr), "%s", command))...)
		}
		items, _ := list["items"].([]any)
		for _, item := range items {
			object := objectOf(item)
			if object.GetKind() == "" { // the items of some lists have none
				kind, _ := list["kind"].(string)
				object.SetAPIVersion(gvr.GroupVersion().String())
				object.SetKind(strings.TrimSuffix(kind, "List"))
			}
			if err := do(object); err != nil && len(errs) < listErrors {
				errs = append(errs, by(err, "%s %s", command, object.GetName()))
			}
		}
		if options.Continue = continued(list); options.Continue == "" {
			return errors.Join(errs...)
		}
	}
}

// tabled is each of all objects, which also writes what kubectl get -o wide shows. Both are read by one request if there
// is one page of them. Otherwise the table of all comes first: it takes little where there are too many objects to read
// in time.
func (s *step) tabled(ctx context.Context, gvr schema.GroupVersionResource, namespace, file string, do func(object *unstructured.Unstructured) error) error {
	command := "kubectl get " + resourceName(gvr) + where(namespace, "")
	page, err := s.read(ctx, gvr, namespace, "", tableForm, &metav1.ListOptions{Limit: pageObjects})
	if err != nil {
		return by(missingResource(err, gvr), "%s", command)
	}
	var errs []error
	rest, all := continued(page), page
	if rest != "" {
		all, err = s.read(ctx, gvr, namespace, "", tableForm, nil)
		errs = append(errs, by(err, "%s -o wide", command))
	}
	errs = append(errs, s.files.save(file, tableText(all, namespace == "")))
	rows, _ := page["rows"].([]any)
	for _, row := range rows {
		fields, _ := row.(map[string]any)
		object := objectOf(fields["object"])
		if err := do(object); err != nil && len(errs) < listErrors {
			errs = append(errs, by(err, "%s %s", command, object.GetName()))
		}
	}
	if rest != "" {
		errs = append(errs, s.pages(ctx, gvr, namespace, metav1.ListOptions{Limit: pageObjects, Continue: rest}, do))
	}
	return errors.Join(errs...)
}

const (
	jsonForm = "application/json"
	// tableForm asks the API server for what kubectl get shows.
	tableForm = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
)

// read reads an object, or without a name a list of them. A table has its objects if it is read by pages.
func (s *step) read(
	ctx context.Context, gvr schema.GroupVersionResource, namespace, name, form string, options *metav1.ListOptions,
) (map[string]any, error) {
	path := []string{"/apis", gvr.Group, gvr.Version}
	if gvr.Group == "" {
		path = []string{"/api", gvr.Version}
	}
	if namespace != "" {
		path = append(path, "namespaces", namespace)
	}
	request := s.client.CoreV1().RESTClient().Get().AbsPath(append(path, gvr.Resource, name)...).SetHeader("Accept", form)
	if options != nil {
		request.SpecificallyVersionedParams(options, metav1.ParameterCodec, metav1.Unversioned)
	}
	if form == tableForm && options != nil {
		request.Param("includeObject", string(metav1.IncludeObject))
	}
	result := request.Do(ctx)
	if err := result.Error(); err != nil {
		return nil, err //nolint:wrapcheck // named with its command
	}
	body, err := result.Raw()
	if err != nil {
		return nil, err //nolint:wrapcheck // named with its command
	}
	return decodeObject(body)
}

// objectOf is an object as it was read.
func objectOf(value any) *unstructured.Unstructured {
	fields, ok := value.(map[string]any)
	if !ok {
		fields = map[string]any{}
	}
	return &unstructured.Unstructured{Object: fields}
}

// continued is the mark of the page that follows.
func continued(list map[string]any) string {
	mark, _, _ := unstructured.NestedString(list, "metadata", "continue")
	return mark
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
	return s.listEach(ctx, gvr, namespace, selector, func(*unstructured.Unstructured) {})
}

// listEach is list, which also shows each object to see.
func (s *step) listEach(ctx context.Context, gvr schema.GroupVersionResource, namespace, selector string, see func(object *unstructured.Unstructured)) error {
	items := []any{}
	err := s.each(ctx, gvr, namespace, selector, func(object *unstructured.Unstructured) error {
		see(object)
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
