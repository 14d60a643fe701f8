package testenv

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/kube"
)

const anyPort = "127.0.0.1:0"

// Env is one process's access to the shared servers, with its own pipeline. It is
// used by one spec at a time, whose goroutines may call it concurrently.
type Env struct {
	// WithWatch reaches the API server with full access and no rate limit.
	client.WithWatch
	// Pipeline is the process's own.
	*Pipeline
	// Evidence is what the current spec has used.
	Evidence

	// Config is the client's configuration.
	Config *rest.Config
	// Kubeconfig is the path of a file with full access.
	Kubeconfig string
	// PostgreSQL is the shared server, for suites that need their own database.
	PostgreSQL *postgres.Server
	// People is how people call the shared DataStorage.
	People People

	template string
	shared   *DataStorage
	log      *zap.Logger

	nodeMu sync.Mutex
	node   *kubelet // guarded by nodeMu; nil until there is a pod
}

// silenceLibraries discards the logs of Kubernetes' libraries, which would mix with the
// reports of other processes. It does so once: what runs already reads the setting.
var silenceLibraries = sync.OnceFunc(func() { kube.LogTo(zap.NewNop()) })

// Join gives a process its Env. The services log to log. The caller closes the Env.
func Join(ctx context.Context, encoded []byte, log *zap.Logger) (*Env, error) {
	var a addresses
	if err := json.Unmarshal(encoded, &a); err != nil {
		return nil, fmt.Errorf("read the shared parts' addresses: %w", err)
	}
	silenceLibraries()

	config, err := kube.Config(nil, a.Kubeconfig, "kubernaut-testenv")
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	types, err := kube.Scheme()
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: types})
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	e := &Env{
		WithWatch: c, Config: config, Kubeconfig: a.Kubeconfig, PostgreSQL: postgres.Join(a.PostgreSQL), People: a.People.people(),
		template: a.Template, shared: &DataStorage{URL: a.DataStorage, ManagementURL: a.DataStorageManagement}, log: log,
	}
	if e.Pipeline, err = e.NewPipeline(ctx, PipelineOptions{}); err != nil {
		return nil, err
	}
	return e, nil
}

// Close stops the services of the process.
func (e *Env) Close() error {
	e.closeKubelet()
	return e.Stop()
}

// AuditTrail flushes all services of the process's pipeline for a correlation
// id, which it tracks, and then queries its events once, oldest first.
func (e *Env) AuditTrail(ctx context.Context, correlationID string) (Trail, error) {
	return e.Read(ctx, correlationID, e.Pipeline.AuditTrail)
}

// Request returns a valid request in the process's namespace, whose name is
// the correlation id of its trail. Its target does not exist. A spec changes
// it as needed, and creates it.
func (e *Env) Request(correlationID string) *v1alpha1.RemediationRequest {
	now := metav1.NewMicroTime(time.Now())
	fingerprint := sha256.Sum256([]byte(correlationID))
	return &v1alpha1.RemediationRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: correlationID},
		Spec: v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
			SignalFingerprint: hex.EncodeToString(fingerprint[:]),
			SignalName:        "KubePodCrashLooping",
			SignalType:        v1alpha1.SignalTypeAlert,
			SignalSource:      "testenv",
			Severity:          "critical",
			TargetResource:    v1alpha1.TargetResource{Kind: "Pod", Name: "checkout-" + random(), Namespace: e.Namespace},
			FiringTime:        now,
			ReceivedTime:      now,
		}},
	}
}

// InPhase is a predicate of WaitFor.
func InPhase(phase v1alpha1.RemediationPhase) func(*v1alpha1.RemediationRequest) bool {
	return func(rr *v1alpha1.RemediationRequest) bool { return rr.Status.Phase == phase }
}

// IsClassified is a predicate of WaitFor. A classified request may go on at once.
func IsClassified(rr *v1alpha1.RemediationRequest) bool {
	return meta.IsStatusConditionTrue(rr.Status.Conditions, v1alpha1.ConditionSignalProcessed)
}

// InProcessingPhase is a predicate of WaitFor.
func InProcessingPhase(phase v1alpha1.ProcessingPhase) func(*v1alpha1.SignalProcessing) bool {
	return func(sp *v1alpha1.SignalProcessing) bool { return sp.Status.Phase == phase }
}
