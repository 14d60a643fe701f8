package alerts_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audit/control"
	datastorage "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/auditdb"
	"kubernaut.ai/test/testenv"
)

const (
	anyPort = "127.0.0.1:0"
	// managementPort is the one of the deployment. A pod of a service has the service's own.
	managementPort = 9090
)

// The names of the platform's workloads.
const (
	gatewayName    = "gateway"
	storageName    = "datastorage"
	processingName = "signalprocessing"
	executionName  = "workflowexecution"
	// maintenanceName is that of what maintains the tables, beside DataStorage.
	maintenanceName = "datastorage-maintenance"
)

// isDeployment reports whether a workload is a Deployment; the others are StatefulSets.
func isDeployment(name string) bool { return name == storageName || name == maintenanceName }

// siteState is a namespace in which a platform runs, as kubectl shows it: services of this
// process, behind the pods of the workloads that the deployment has.
type siteState struct {
	namespace string
	services  []*service
	others    []*target
	clocks    []*clocktesting.FakeClock
	filled    map[string]bool // workloads that have a pod of fill
	sent      int             // by signal
	database  string          // of the last DataStorage
	account   string          // the service account of pods that start; empty means the default
	token     string          // of the sender, if the Gateway asks for one
	workflows string          // the namespace of workflows, if there is a WorkflowExecution
	shop      string          // the namespace of what is remediated, likewise
}

// service is one of them.
type service struct {
	name, pod  string
	url        string // of the API
	management string
	control    string
	client     *http.Client // of the API; nil stands for the default
	log        *journal
	running    *lifecycle.Running
	scraped    *target
	// again starts it again after stop.
	again func(ctx context.Context)
}

// site makes a namespace for a platform.
func site(ctx context.Context) *siteState {
	GinkgoHelper()
	namespace, err := env.NewNamespace(ctx, nil, nil)
	Expect(err).NotTo(HaveOccurred())
	s := &siteState{namespace: namespace, filled: map[string]bool{}}
	for _, name := range []string{gatewayName, storageName, processingName} {
		s.workload(ctx, name)
	}
	return s
}

// clock is one that follows the time of the rules.
func (s *siteState) clock() *clocktesting.FakeClock {
	c := clocktesting.NewFakeClock(time.Now())
	s.clocks = append(s.clocks, c)
	return c
}

func (s *siteState) advance(d time.Duration) {
	for _, c := range s.clocks {
		c.Step(d)
	}
}

func (s *siteState) targets() []*target {
	all := s.others
	for _, one := range s.services {
		all = append(all, one.scraped)
	}
	return all
}

// store starts a DataStorage with a database of its own.
func (s *siteState) store(ctx context.Context, change func(*datastorage.Options)) *service {
	GinkgoHelper()
	database, err := env.NewDatabase(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(database.Drop)
	options := datastorage.Options{DatabaseURL: database.URL, Listen: anyPort, ManagementListen: anyPort}
	if change != nil {
		change(&options)
	}
	s.database = options.DatabaseURL
	options.DatabaseURL, err = auditdb.Serving(s.database)
	Expect(err).NotTo(HaveOccurred())
	return s.serve(ctx, storageName, func(log *zap.Logger) lifecycle.App {
		options.Log = log
		a, err := datastorage.New(options)
		Expect(err).NotTo(HaveOccurred())
		return a
	}, func(a lifecycle.App, one *service) {
		store := a.(*datastorage.App)
		one.url, one.management = store.APIURL(), store.ManagementURL()
		options.Listen, options.ManagementListen = hostOf(one.url), hostOf(one.management)
	})
}

// gateway starts a Gateway that records in the suite's DataStorage.
func (s *siteState) gateway(ctx context.Context, change func(*gateway.Options)) *service {
	GinkgoHelper()
	options := gateway.Options{
		DataStorageURL: env.DataStorage.URL, Listen: anyPort, ManagementListen: anyPort, ControlListen: anyPort,
		RESTConfig: env.Config, Namespace: s.namespace, WatchNamespaces: []string{s.namespace},
	}
	if change != nil {
		change(&options)
	}
	return s.serve(ctx, gatewayName, func(log *zap.Logger) lifecycle.App {
		options.Log = log
		a, err := gateway.New(options)
		Expect(err).NotTo(HaveOccurred())
		return a
	}, func(a lifecycle.App, one *service) {
		g := a.(*gateway.App)
		one.url, one.management, one.control = g.APIURL(), g.ManagementURL(), g.ControlURL()
		options.Listen, options.ManagementListen, options.ControlListen = hostOf(one.url), hostOf(one.management), hostOf(one.control)
	})
}

// processing starts a SignalProcessing that records in the suite's DataStorage.
func (s *siteState) processing(ctx context.Context, change func(*signalprocessing.Options)) *service {
	GinkgoHelper()
	options := signalprocessing.Options{
		DataStorageURL: env.DataStorage.URL, ManagementListen: anyPort, ControlListen: anyPort,
		RESTConfig: env.Config, WatchNamespaces: []string{s.namespace}, GatewayNamespace: s.namespace,
	}
	if change != nil {
		change(&options)
	}
	return s.serve(ctx, processingName, func(log *zap.Logger) lifecycle.App {
		options.Log = log
		a, err := signalprocessing.New(options)
		Expect(err).NotTo(HaveOccurred())
		return a
	}, func(a lifecycle.App, one *service) {
		p := a.(*signalprocessing.App)
		one.management, one.control = p.ManagementURL(), p.ControlURL()
		options.ManagementListen, options.ControlListen = hostOf(one.management), hostOf(one.control)
	})
}

// serve runs a service behind a pod until the end of the spec. It keeps its addresses when
// it starts again.
func (s *siteState) serve(ctx context.Context, name string, create func(*zap.Logger) lifecycle.App, started func(lifecycle.App, *service)) *service {
	GinkgoHelper()
	one := &service{name: name, log: &journal{}}
	flags := cli.LogFlags{Level: "info", Format: "json"}
	json, err := flags.New(one.log)
	Expect(err).NotTo(HaveOccurred())
	log := logger().Named(name).WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, json.Core()) }))
	one.again = func(ctx context.Context) {
		GinkgoHelper()
		a := create(log)
		one.running, err = lifecycle.Start(ctx, name, a)
		Expect(err).NotTo(HaveOccurred())
		started(a, one)
	}
	one.again(ctx)
	DeferCleanup(func() { _ = one.running.Stop() }) // what a spec left pending is lost, and said
	s.add(ctx, one)
	return one
}

// add makes the service's pod, and a target of it.
func (s *siteState) add(ctx context.Context, one *service) {
	GinkgoHelper()
	one.pod = s.startPod(ctx, one)
	one.scraped = &target{url: one.management + "/metrics", client: http.DefaultClient, labels: map[string]string{
		"namespace": s.namespace, "pod": one.pod, "container": one.name, "endpoint": "management",
		"job": s.namespace + "/kubernaut", "app_kubernetes_io_name": one.name, "instance": hostOf(one.management),
	}}
	s.services = append(s.services, one)
}

// stop stops a service, which again starts again.
func (s *service) stop() {
	GinkgoHelper()
	Expect(s.running.Stop()).To(Succeed())
}

// workload makes one of the platform's workloads, without pods.
func (s *siteState) workload(ctx context.Context, name string) {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Namespace: s.namespace, Name: name, Labels: labelsOf(name)}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": name}}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labelsOf(name)}, Spec: podSpec(name)}
	var object client.Object = &appsv1.StatefulSet{
		ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Replicas: new(int32(1)), Selector: selector, Template: template, ServiceName: name},
	}
	if isDeployment(name) {
		object = &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Replicas: new(int32(1)), Selector: selector, Template: template}}
	}
	Expect(env.Create(ctx, object)).To(Succeed())
}

func labelsOf(name string) map[string]string {
	return map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "kubernaut"}
}

func podSpec(name string) corev1.PodSpec {
	return corev1.PodSpec{
		AutomountServiceAccountToken: new(false), Containers: []corev1.Container{{
			Name: name, Image: "localhost/" + name, Ports: []corev1.ContainerPort{{Name: "management", ContainerPort: managementPort}},
		}},
	}
}

// startPod makes the ready pod of a service, with its log and its ports.
func (s *siteState) startPod(ctx context.Context, one *service) string {
	GinkgoHelper()
	count := 0
	for _, other := range s.services {
		if other.name == one.name {
			count++
		}
	}
	name := fmt.Sprintf("%s-%d", one.name, count)
	node, err := env.ShowLog(ctx, s.namespace, name, one.log.text)
	Expect(err).NotTo(HaveOccurred())
	port, err := strconv.ParseInt(portOf(one.management), 10, 32)
	Expect(err).NotTo(HaveOccurred())
	forwards := map[int]string{int(port): one.management}
	if one.control != "" {
		forwards[control.DefaultPort] = one.control
	}
	for number, to := range forwards {
		_, err := env.ForwardPort(ctx, s.namespace, name, number, to)
		Expect(err).NotTo(HaveOccurred())
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name, Labels: labelsOf(one.name)}, Spec: podSpec(one.name)}
	pod.Spec.NodeName, pod.Spec.ServiceAccountName = node, s.account
	pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "management", ContainerPort: int32(port)}}
	Expect(env.Create(ctx, pod)).To(Succeed())
	ready(pod, true)
	Expect(env.Status().Update(ctx, pod)).To(Succeed())
	s.report(ctx, one.name, 1)
	return name
}

// ready is what the kubelet says about a pod.
func ready(pod *corev1.Pod, is bool) {
	condition := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse}
	if is {
		condition.Status = corev1.ConditionTrue
	}
	address := testenv.PodAddress()
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}}, Conditions: []corev1.PodCondition{condition},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: pod.Spec.Containers[0].Name, Ready: is, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}},
	}
}

// report is what the controllers say about a workload.
func (s *siteState) report(ctx context.Context, name string, ready int32) {
	GinkgoHelper()
	key := client.ObjectKey{Namespace: s.namespace, Name: name}
	if isDeployment(name) {
		d := &appsv1.Deployment{}
		Expect(env.Get(ctx, key, d)).To(Succeed())
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: *d.Spec.Replicas, UpdatedReplicas: *d.Spec.Replicas, ReadyReplicas: ready, AvailableReplicas: ready}
		Expect(env.Status().Update(ctx, d)).To(Succeed())
		return
	}
	set := &appsv1.StatefulSet{}
	Expect(env.Get(ctx, key, set)).To(Succeed())
	set.Status = appsv1.StatefulSetStatus{ObservedGeneration: set.Generation, Replicas: *set.Spec.Replicas, UpdatedReplicas: *set.Spec.Replicas, CurrentReplicas: *set.Spec.Replicas, ReadyReplicas: ready, AvailableReplicas: ready}
	Expect(env.Status().Update(ctx, set)).To(Succeed())
}

// newSpool is a spool's place.
func newSpool() spool.Flags { return spool.Flags{Dir: filepath.Join(GinkgoT().TempDir(), "spool")} }

func hostOf(address string) string {
	GinkgoHelper()
	parsed, err := url.Parse(address)
	Expect(err).NotTo(HaveOccurred())
	return parsed.Host
}

func portOf(address string) string {
	GinkgoHelper()
	parsed, err := url.Parse(address)
	Expect(err).NotTo(HaveOccurred())
	return parsed.Port()
}

// journal is the log of a service, as its container writes it.
type journal struct {
	mu   sync.Mutex
	said bytes.Buffer // guarded by mu
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.said.Write(line)
}

func (j *journal) text() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Clone(j.said.Bytes())
}
