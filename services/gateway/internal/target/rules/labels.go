package rules

import (
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// The labels that are about the scrape, or tell where.
const (
	labelNamespace = "namespace"
	labelJob       = "job"
	labelService   = "service"
	labelPod       = "pod"
	labelInstance  = "instance"
)

// scrapeLabels are the labels that Prometheus attaches to every series of a
// target. A series' own label of the same name becomes exported_NAME, so beside
// an exported_namespace they are the exporter's.
var scrapeLabels = []string{labelNamespace, labelPod, "container", labelService, "endpoint", labelInstance} //nolint:gochecknoglobals // constant

// neverExported are labels whose exported_ form names no object.
var neverExported = []string{labelJob, labelInstance, "endpoint"} //nolint:gochecknoglobals // constant

// clusterScoped are labels that name objects of the whole cluster. Only a trusted
// exporter's exported_ form of them counts.
//
//nolint:gochecknoglobals // constant
var clusterScoped = []string{
	"node", "persistentvolume", "storageclass", "volumeattachment", "certificatesigningrequest", "clusterrole", "clusterrolebinding",
	"ingressclass", "mutatingwebhookconfiguration", "validatingwebhookconfiguration", "customresourcedefinition",
}

// Exporter is a program that reports about objects other than itself.
type Exporter struct {
	// Name is what rules call it.
	Name string
	// Jobs are the values of the label job under which it is scraped.
	Jobs []string
	// Namespaces are those of the scrape targets that are trusted: there, a
	// user of the cluster cannot run an exporter of the same name.
	Namespaces []string
	// WithoutJob trusts alerts from these namespaces whose expression aggregated the
	// job away. It is for namespaces in which nothing else runs.
	WithoutJob bool
}

// vouches reports whether labels show that the series is this exporter's.
func (e *Exporter) vouches(labels map[string]string) bool {
	job := labels[labelJob]
	return (slices.Contains(e.Jobs, job) || job == "" && e.WithoutJob) && slices.Contains(e.Namespaces, labels[labelNamespace])
}

// subject is what a signal's labels say, after the rules about whose labels count.
type subject struct {
	// received are the labels as they arrived.
	received map[string]string
	// labels are those that count.
	labels map[string]string
	// exporter is the name of the exporter that the labels show; empty if none.
	exporter string
	// foreign means that labels which do not count name another namespace.
	foreign bool
}

// read decides which labels count. Those that exporters attach about others
// (exported_NAME, and OpenTelemetry's k8s.NAME.name) count if the series is a
// trusted exporter's; else only for objects in the namespace of the scrape
// target, because whoever runs a pod decides what its series say.
func read(received map[string]string, exporters []Exporter) subject {
	s := subject{received: received, labels: received, exporter: exporterOf(received, exporters)}
	others := reported(received)
	if len(others) == 0 {
		return s
	}
	s.labels = maps.Clone(received)
	for key := range received {
		if _, ok := reportedKey(key); ok {
			delete(s.labels, key)
		}
	}
	namespace := received[labelNamespace]
	switch {
	case trusted(received, exporters):
		if others[labelNamespace] != "" {
			for _, key := range scrapeLabels {
				delete(s.labels, key)
			}
		}
	case others[labelNamespace] != "" && others[labelNamespace] != namespace:
		s.foreign = true
		return s
	case namespace == "":
		return s
	default:
		for _, key := range clusterScoped {
			delete(others, key)
		}
	}
	maps.Copy(s.labels, others)
	return s
}

// reported returns what an exporter says about others, under the plain names.
func reported(labels map[string]string) map[string]string {
	var others map[string]string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		plain, ok := reportedKey(key)
		if !ok || labels[key] == "" {
			continue
		}
		if others == nil {
			others = map[string]string{}
		}
		if _, taken := others[plain]; !taken { // exported_ sorts before k8s
			others[plain] = labels[key]
		}
	}
	return others
}

// reportedKey returns the plain name of a label that an exporter attached about others.
func reportedKey(key string) (string, bool) {
	if plain, ok := strings.CutPrefix(key, "exported_"); ok {
		return plain, plain != "" && !slices.Contains(neverExported, plain)
	}
	for _, form := range [][2]string{{"k8s.", ".name"}, {"k8s_", "_name"}} {
		if plain, ok := strings.CutPrefix(key, form[0]); ok {
			if plain, ok = strings.CutSuffix(plain, form[1]); ok && plain != "" {
				return kubernetesName(plain), true
			}
		}
	}
	return "", false
}

// kubernetesName turns OpenTelemetry's name of a kind into kube-state-metrics' label.
func kubernetesName(name string) string {
	switch name {
	case "job":
		return "job_name"
	case "hpa":
		return "horizontalpodautoscaler"
	default:
		return name
	}
}

func trusted(labels map[string]string, exporters []Exporter) bool {
	return slices.ContainsFunc(exporters, func(e Exporter) bool { return e.vouches(labels) })
}

// exporterOf recognizes an exporter by its job, else by the name of the scraped
// service or pod, which aggregations leave more often. Being recognized only
// makes rules distrust the labels of the scrape; it never extends what counts.
func exporterOf(labels map[string]string, exporters []Exporter) string {
	for _, e := range exporters {
		if slices.Contains(e.Jobs, labels[labelJob]) || labels["exported_namespace"] != "" && e.vouches(labels) {
			return e.Name
		}
	}
	for _, e := range exporters {
		if e.Name != "" && strings.Contains(labels[labelService], e.Name) {
			return e.Name
		}
	}
	for _, e := range exporters {
		if e.Name != "" && labels[labelInstance] != "" && labels[labelService] == "" && strings.Contains(labels[labelPod], e.Name) {
			return e.Name
		}
	}
	return ""
}

// labelMap is a map of labels in CEL in which an absent label is the empty
// string, as in Prometheus.
type labelMap struct {
	traits.Mapper

	values map[types.String]ref.Val
}

func newLabelMap(labels map[string]string) labelMap {
	m := labelMap{
		Mapper: types.NewStringStringMap(types.DefaultTypeAdapter, labels),
		values: make(map[types.String]ref.Val, len(labels)),
	}
	for key, value := range labels {
		m.values[types.String(key)] = types.String(value)
	}
	return m
}

var absent ref.Val = types.String("")

// Find implements traits.Mapper.
func (m labelMap) Find(key ref.Val) (ref.Val, bool) {
	name, _ := key.(types.String)
	if value, ok := m.values[name]; ok {
		return value, true
	}
	return absent, true
}

// Get implements traits.Mapper.
func (m labelMap) Get(key ref.Val) ref.Val {
	value, _ := m.Find(key)
	return value
}

// Iterator implements traits.Iterable in the order of the names, so that rules are deterministic.
func (m labelMap) Iterator() traits.Iterator {
	names := make([]string, 0, len(m.values))
	for name := range m.values {
		names = append(names, string(name))
	}
	slices.Sort(names)
	list, _ := types.NewStringList(types.DefaultTypeAdapter, names).(traits.Iterable)
	return list.Iterator()
}
