//go:build e2e

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/pkg/audittrail/trailtest"
)

var kubernaut = flag.String("kubernaut", "../../bin/kubernaut", "program that provides the platform")

// addresses is what kubernaut up --addresses writes.
type addresses struct {
	DataStorage string `json:"datastorage"`
	Kubeconfig  string `json:"kubeconfig"`
}

// platform starts the platform and waits until it is ready.
func platform(t *testing.T) addresses {
	t.Helper()
	file := filepath.Join(t.TempDir(), "addresses.json")
	up := exec.CommandContext(t.Context(), *kubernaut, "up", "--addresses", file)
	up.Cancel = func() error { return up.Process.Signal(syscall.SIGTERM) }
	up.Stderr = os.Stderr
	out, err := up.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = up.Wait() }) // the test's context has ended by then
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if !strings.HasPrefix(lines.Text(), "Kubernaut is up") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var a addresses
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	t.Fatal("the platform did not start")
	return addresses{}
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

// start runs the operator; the function stops it and returns what run returned.
func start(t *testing.T, config *rest.Config, o *options) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, config, o, slog.New(slog.NewJSONHandler(os.Stderr, nil))) }()
	return func() error {
		cancel()
		return <-done
	}
}

// awaitChange watches the ConfigMap until its annotation is another than before.
func awaitChange(ctx context.Context, c client.WithWatch, object *corev1.ConfigMap) error {
	before := object.Annotations[digestAnnotation]
	watch, err := c.Watch(ctx, &corev1.ConfigMapList{}, client.InNamespace(object.Namespace),
		client.MatchingFields{"metadata.name": object.Name}, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}})
	if err != nil {
		return err
	}
	defer watch.Stop()
	for {
		select {
		case event, open := <-watch.ResultChan():
			if !open {
				return errors.New("the watch ended")
			}
			if seen, ok := event.Object.(*corev1.ConfigMap); ok && seen.Annotations[digestAnnotation] != before {
				seen.DeepCopyInto(object)
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestChangesAreAudited(t *testing.T) {
	g := NewWithT(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	a := platform(t)
	config, err := clientcmd.BuildConfigFromFlags("", a.Kubeconfig)
	g.Expect(err).NotTo(HaveOccurred())
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme.Scheme})
	g.Expect(err).NotTo(HaveOccurred())

	o := &options{
		store:  storeOptions{dataStorageURL: a.DataStorage, spoolDir: filepath.Join(t.TempDir(), "spool"), producerID: "configtrail"},
		listen: freeAddress(t), clusterID: "example", grace: 20 * time.Second,
	}
	stop := start(t, config, o)
	reader, err := audittrail.NewReader(audittrail.Options{
		DataStorageURL: a.DataStorage, ManagementURLs: []string{"http://" + o.listen},
	})
	g.Expect(err).NotTo(HaveOccurred())

	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "prices-", Labels: map[string]string{trackedLabel: "true"}},
		Data:       map[string]string{"tea": "3"},
	}
	g.Expect(c.Create(ctx, object)).To(Succeed())
	g.Expect(awaitChange(ctx, c, object)).To(Succeed())
	first := object.Annotations[digestAnnotation]
	trail, err := reader.Read(ctx, string(object.UID))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trail).To(trailtest.HaveAuditedTimes(1, configChanged, trailtest.WithData("to", first)))

	object.Data["tea"] = "4"
	g.Expect(c.Update(ctx, object)).To(Succeed())
	g.Expect(awaitChange(ctx, c, object)).To(Succeed())
	trail, err = reader.Read(ctx, string(object.UID))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trail).To(HaveLen(2))
	g.Expect(trail).To(trailtest.HaveAuditedInOrder(
		trailtest.BeEvent(configChanged, trailtest.WithData("to", first)),
		trailtest.BeEvent(configChanged, trailtest.WithData("from", first),
			trailtest.WithData("to", object.Annotations[digestAnnotation])),
	))
	g.Expect(stop()).To(Succeed())
}
