package controlplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/internal/devstack/supervise"
)

const controllersName = "kube-controller-manager"

// controllerQPS is the rate of API calls of each client of the controllers. The
// default of 20 makes the garbage collector take minutes for a few thousand objects.
const controllerQPS = "200"

// FindControllers finds kube-controller-manager in the folder that
// KUBEBUILDER_ASSETS names or in the cache, or compiles it, which takes minutes.
// It returns the program's path.
func FindControllers(ctx context.Context, report progress.Func) (string, error) {
	if dir := os.Getenv(assetsVariable); dir != "" {
		if path, err := controllersIn(dir); err == nil {
			return path, nil
		}
	}
	if path, err := cachedControllers(ctx); err == nil {
		return path, nil
	}
	path, err := compile(ctx, controllerVersions, controllerWrappers(), cachedControllers, report)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", controllersName, err)
	}
	return path, nil
}

// controllerVersions name the folder of the compiled controllers.
const controllerVersions = KubernetesVersion + "-controllers"

func cachedControllers(context.Context) (string, error) {
	dir, err := cacheDir(controllerVersions)
	if err != nil {
		return "", err
	}
	return controllersIn(dir)
}

func controllersIn(dir string) (string, error) {
	path := filepath.Join(dir, controllersName)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", unavailablef("%s has no %s", dir, controllersName)
	}
	return path, nil
}

// RunControllers runs kube-controller-manager until the control plane stops: from
// then on Deployments make pods, owned objects are removed with their owner, and
// namespaces can be deleted. There is still no kubelet. It is called once.
func (c *ControlPlane) RunControllers(ctx context.Context, program string) error {
	process, err := supervise.Start(c.data, supervise.Spec{
		Name: controllersName, Path: program, Env: environment(), WorkingDir: c.run.Path(),
		Args: []string{
			"--kubeconfig=" + c.Kubeconfig(),
			"--use-service-account-credentials",
			"--service-account-private-key-file=" + c.data.Join(serviceAccountFile),
			"--root-ca-file=" + c.run.Join(certFile),
			"--leader-elect=false",
			"--secure-port=0", // no probes, no metrics
			"--kube-api-qps=" + controllerQPS,
			"--kube-api-burst=" + controllerQPS,
			"--concurrent-gc-syncs=10",
		},
	})
	if err != nil {
		return fmt.Errorf("run controllers: %w", err)
	}
	c.controllers = process
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := process.WaitFor(ctx, "all resource monitors have synced"); err != nil {
		return fmt.Errorf("run controllers: %w", err)
	}
	return nil
}
