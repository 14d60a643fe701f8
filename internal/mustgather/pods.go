package mustgather

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubernaut.ai/pkg/audit/control"
)

const (
	logBytes int64 = 10 << 20 // the largest log
	logLines int64 = 40000    // likewise; the newest ones
	// quietLines are collected of a container that has logged nothing since.
	quietLines int64 = 200

	managementPort = "management"
)

var podResource = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

// findPods lists the pods of a namespace, which other steps start from.
func (s *step) findPods(ctx context.Context, namespace string) error {
	return s.tabled(ctx, podResource, namespace, "namespaces/"+namespace+"/pods.txt", func(object *unstructured.Unstructured) error {
		pod := corev1.Pod{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &pod); err != nil {
			return fmt.Errorf("read pod %s: %w", object.GetName(), err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pods = append(s.pods, pod)
		s.podObjects = append(s.podObjects, object)
		return nil
	})
}

// podSteps collect what belongs to one pod.
func (r *run) podSteps(all *steps) {
	for i := range r.pods {
		pod := &r.pods[i]
		if port := management(pod); port > 0 {
			all.do("state of "+pod.Name+" in "+pod.Namespace, func(ctx context.Context, s *step) error { return s.state(ctx, pod, port) })
		}
		restarts := map[string]int32{}
		for _, status := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses} {
			for i := range status {
				restarts[status[i].Name] = status[i].RestartCount
			}
		}
		for _, container := range containers(pod) {
			what := pod.Name + "/" + container + " in " + pod.Namespace
			all.do("log of "+what, func(ctx context.Context, s *step) error { return s.log(ctx, pod, container, false) })
			if restarts[container] > 0 {
				all.do("earlier log of "+what, func(ctx context.Context, s *step) error { return s.log(ctx, pod, container, true) })
			}
		}
	}
}

func containers(pod *corev1.Pod) []string {
	var names []string
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			names = append(names, list[i].Name)
		}
	}
	return names
}

// management is the port with probes and metrics of a pod of ours, else 0.
func management(pod *corev1.Pod) int32 {
	key, value, _ := strings.Cut(ours, "=")
	if pod.Labels[key] != value {
		return 0
	}
	for i := range pod.Spec.Containers {
		for _, port := range pod.Spec.Containers[i].Ports {
			if port.Name == managementPort {
				return port.ContainerPort
			}
		}
	}
	return 0
}

func podFolder(pod *corev1.Pod) string {
	return "namespaces/" + pod.Namespace + "/pods/" + pod.Name
}

// writePods writes the pods that were found.
func writePods(_ context.Context, s *step) error {
	errs := make([]error, 0, len(s.podObjects))
	for _, object := range s.podObjects {
		text, err := s.text(object)
		if err == nil {
			name := safeName(object.GetName())
			err = s.files.save("namespaces/"+object.GetNamespace()+"/pods/"+name+"/"+name+".yaml", string(text))
		}
		errs = append(errs, by(err, "kubectl get pods -n %s %s", object.GetNamespace(), object.GetName()))
	}
	return errors.Join(errs...)
}

func (s *step) log(ctx context.Context, pod *corev1.Pod, container string, previous bool) error {
	file, command := "current.log", fmt.Sprintf("kubectl logs %s -n %s -c %s", pod.Name, pod.Namespace, container)
	if previous {
		file, command = "previous.log", command+" --previous"
	}
	seconds := max(1, int64(s.Since/time.Second))
	limit, lines := logBytes, logLines
	options := corev1.PodLogOptions{Container: container, Previous: previous, Timestamps: true, LimitBytes: &limit, TailLines: &lines}
	if !previous {
		options.SinceSeconds = &seconds
	}
	text, err := s.readLog(ctx, pod, options)
	if err == nil && text == "" && !previous {
		options.SinceSeconds, lines = nil, quietLines
		text, err = s.readLog(ctx, pod, options)
	}
	return errors.Join(by(err, "%s", command), s.files.save(podFolder(pod)+"/"+container+"/"+container+"/logs/"+file, text))
}

func (s *step) readLog(ctx context.Context, pod *corev1.Pod, options corev1.PodLogOptions) (string, error) {
	stream, err := s.client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &options).Stream(ctx)
	if err != nil {
		return "", err //nolint:wrapcheck // named with its command
	}
	text, err := io.ReadAll(io.LimitReader(stream, logBytes))
	_ = stream.Close() // read to its end
	return string(text), err
}

// state asks a pod's management port, through the API server.
func (s *step) state(ctx context.Context, pod *corev1.Pod, port int32) error {
	base := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:%d/proxy/", pod.Namespace, pod.Name, port)
	var ready, healthy, metrics error
	var all errgroup.Group
	all.Go(func() error { ready = s.ask(ctx, base+"readyz", podFolder(pod)+"/management/readyz.json"); return nil })
	all.Go(func() error {
		healthy = s.ask(ctx, base+"healthz", podFolder(pod)+"/management/healthz.json")
		return nil
	})
	all.Go(func() error { metrics = s.metrics(ctx, pod, base+"metrics"); return nil })
	_ = all.Wait() // no errors
	return errors.Join(ready, healthy, metrics)
}

// proxied asks a pod through the API server. The body of a pod's answer comes with the error of its code; what the API
// server itself says is part of the error.
func (s *step) proxied(ctx context.Context, path string) (body string, err error) {
	command := "kubectl get --raw " + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.client.CoreV1().RESTClient().Get().AbsPath(path).URL().String(), http.NoBody)
	if err != nil {
		return "", by(err, "%s", command)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return "", by(err, "%s", command)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, logBytes))
	_ = response.Body.Close() // read to its end
	body = string(text)
	switch {
	case err != nil:
	case response.StatusCode == http.StatusOK:
		return body, nil
	case strings.HasPrefix(body, "error trying to reach service"), strings.Contains(body, `"kind":"Status"`):
		body, err = "", fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(body))
	default:
		err = errors.New(response.Status)
	}
	return body, by(err, "%s", command)
}

// ask saves the response of a probe, also of one that fails.
func (s *step) ask(ctx context.Context, path, file string) error {
	body, err := s.proxied(ctx, path)
	return errors.Join(err, s.files.save(file, body))
}

// metrics reads the metrics of a pod, and what the control listener says unless they show that there is nothing to tell.
func (s *step) metrics(ctx context.Context, pod *corev1.Pod, path string) error {
	text, err := s.proxied(ctx, path)
	if err != nil {
		s.readControl(pod)
		return err
	}
	folder := podFolder(pod)
	errs := []error{s.files.save(folder+"/management/metrics.txt", text)}
	families, err := parseMetrics(text)
	if err != nil {
		return errors.Join(append(errs, by(err, "kubectl get --raw %s", path))...)
	}
	s.mu.Lock()
	s.states[pod.Namespace+"/"+pod.Name] = families
	s.mu.Unlock()
	for prefix, file := range ownMetrics {
		errs = append(errs, s.files.save(folder+"/"+file, stateOf(families, prefix)))
	}
	if holds(families) {
		s.readControl(pod)
	}
	return errors.Join(errs...)
}

func (s *step) readControl(pod *corev1.Pod) {
	s.tunnels.do("control listener of "+pod.Name+" in "+pod.Namespace, func(ctx context.Context, s *step) error { return s.control(ctx, pod) })
}

// control reads what the control listener of a pod's audit store says, if it has one.
func (s *step) control(ctx context.Context, pod *corev1.Pod) error {
	address, stop, err := s.forward(ctx, pod.Namespace, pod.Name, control.DefaultPort)
	if err != nil {
		s.files.note(fmt.Sprintf("no control listener of %s in %s: %v", pod.Name, pod.Namespace, err))
		return nil
	}
	defer stop()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	var errs []error
	for _, path := range []string{control.StatePath, control.RejectionsPath} {
		body, err := get(ctx, transport, "http://"+address+path)
		if err != nil {
			s.files.note(fmt.Sprintf("no control listener of %s in %s: %v", pod.Name, pod.Namespace, err))
			break
		}
		errs = append(errs, s.files.save(podFolder(pod)+"/control/"+strings.TrimPrefix(path, "/audit/")+".json", body))
	}
	return errors.Join(errs...)
}

// get reads a small document.
func get(ctx context.Context, transport *http.Transport, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", fmt.Errorf("request %s: %w", url, err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "", err //nolint:wrapcheck // names method and URL
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, logBytes))
	_ = response.Body.Close() // read to its end
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s", url, response.Status)
	}
	return string(body), err
}

// collectExtra includes the logs of processes outside the cluster.
func collectExtra(ctx context.Context, s *step) error {
	root, err := os.OpenRoot(s.ExtraLogs)
	if err != nil {
		return by(err, "ls %s", s.ExtraLogs)
	}
	defer func() { _ = root.Close() }() // only read
	var errs []error
	err = filepath.WalkDir(s.ExtraLogs, func(path string, entry os.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if extension := filepath.Ext(path); !entry.Type().IsRegular() || extension != ".log" && extension != ".txt" {
			return nil
		}
		name, err := filepath.Rel(s.ExtraLogs, path)
		if err != nil {
			return err //nolint:wrapcheck // of a path below the directory
		}
		errs = append(errs, s.extra(root, name))
		return nil
	})
	return errors.Join(append(errs, err)...)
}

func (s *step) extra(root *os.Root, name string) error {
	file, err := root.Open(name)
	if err != nil {
		return by(err, "cat %s", filepath.Join(s.ExtraLogs, name))
	}
	defer func() { _ = file.Close() }() // only read
	if info, err := file.Stat(); err == nil && info.Size() > logBytes {
		_, _ = file.Seek(-logBytes, io.SeekEnd) // else from the beginning
	}
	text, err := io.ReadAll(io.LimitReader(file, logBytes))
	return errors.Join(by(err, "cat %s", filepath.Join(s.ExtraLogs, name)), s.files.save("extra/"+filepath.ToSlash(name), string(text)))
}
