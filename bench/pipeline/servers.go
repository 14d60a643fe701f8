package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/lifecycle"
	datastorage "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
)

// stopPatience bounds the stop of each server.
const stopPatience = 30 * time.Second

// servers are what the services need: an API server, and DataStorage over PostgreSQL.
type servers struct {
	client client.WithWatch
	config *rest.Config
	// dataStorageURL is the address of DataStorage's API.
	dataStorageURL string

	plane    *controlplane.ControlPlane
	database *postgres.Server
	storage  *lifecycle.Running
}

// startServers starts them. The caller stops them, also after an error.
func startServers(ctx context.Context) (*servers, error) {
	s := &servers{}
	show := progress.To(os.Stderr)
	var err error
	if s.plane, err = controlplane.Start(ctx, controlplane.Options{Progress: show}); err != nil {
		return s, fmt.Errorf("start the control plane: %w", err)
	}
	s.config = s.plane.Config()
	types, err := kube.Scheme()
	if err != nil {
		return s, fmt.Errorf("connect to the API server: %w", err)
	}
	if s.client, err = client.NewWithWatch(s.config, client.Options{Scheme: types}); err != nil {
		return s, fmt.Errorf("connect to the API server: %w", err)
	}
	if s.database, err = postgres.Start(ctx, postgres.Options{Progress: show}); err != nil {
		return s, fmt.Errorf("start PostgreSQL: %w", err)
	}
	url, err := auditdb.Create(ctx, s.database, fmt.Sprintf("pipeline_%d", time.Now().UnixNano()))
	if err == nil {
		url, err = auditdb.Serving(url)
	}
	if err != nil {
		return s, err //nolint:wrapcheck // says all there is
	}
	app, err := datastorage.New(datastorage.Options{DatabaseURL: url, Listen: anyPort, ManagementListen: anyPort})
	if err != nil {
		return s, fmt.Errorf("configure DataStorage: %w", err)
	}
	if s.storage, err = lifecycle.Start(ctx, "DataStorage", app); err != nil {
		return s, err //nolint:wrapcheck // names the part
	}
	s.dataStorageURL = app.APIURL()
	return s, nil
}

const anyPort = "127.0.0.1:0"

// The workload that signals are about.
const (
	web      = "web"
	webPod   = "web-0"
	appLabel = "app"
	severity = "warning"

	labelAlert     = "alertname"
	labelNamespace = "namespace"
	labelSeverity  = "severity"
	memberStatus   = "status"
)

// stop stops them. It does not end with ctx.
func (s *servers) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	var errs []error
	if s.storage != nil {
		errs = append(errs, s.storage.Stop())
	}
	if s.database != nil {
		errs = append(errs, s.database.Stop(ctx))
	}
	if s.plane != nil {
		errs = append(errs, s.plane.Stop(ctx))
	}
	return errors.Join(errs...)
}

// namespace makes a namespace.
func (s *servers) namespace(ctx context.Context, name string) error {
	if err := s.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		return fmt.Errorf("make namespace %s: %w", name, err)
	}
	return nil
}

// signalOf is a signal as an Alertmanager would send it, about a pod in a namespace.
func signalOf(namespace string) v1alpha1.Signal {
	now := metav1.NewMicroTime(time.Now())
	return v1alpha1.Signal{
		SignalFingerprint: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		SignalName:        "KubePodCrashLooping",
		SignalType:        v1alpha1.SignalTypeAlert,
		SignalSource:      "bench",
		Severity:          severity,
		TargetResource:    v1alpha1.TargetResource{APIVersion: "v1", Kind: "Pod", Name: webPod, Namespace: namespace},
		FiringTime:        now,
		ReceivedTime:      now,
		Labels: map[string]string{
			labelAlert: "KubePodCrashLooping", "container": web, "endpoint": "http", "job": "kube-state-metrics",
			labelNamespace: namespace, "pod": webPod, "prometheus": "monitoring/k8s", "reason": "CrashLoopBackOff",
			"service": "kube-state-metrics", labelSeverity: "warning", "uid": "0b4e4a2c-6a43-4f0b-8c74-2b6a8d2a5d4f",
		},
		Annotations: map[string]string{
			"summary":     "Pod is crash looping.",
			"description": "Pod " + namespace + "/web-0 (web) is in waiting state (reason: CrashLoopBackOff).",
			"runbook_url": "https://runbooks.example/kubepodcrashlooping",
		},
	}
}
