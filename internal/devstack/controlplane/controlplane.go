package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/internal/devstack/supervise"
)

const (
	startPatience = time.Minute
	readyPoll     = 50 * time.Millisecond
	// portAttempts: a port that was free may be taken by the time it is used.
	portAttempts = 5
)

// Options of Start. The zero value is a temporary control plane.
type Options struct {
	// DataDir stores the objects; if it is empty, they are temporary.
	DataDir string
	// DialPods connects the API server to the network of pods, for instance
	// where it proxies requests to them: pods of a control plane without nodes
	// have made-up addresses. Where it is nil the API server connects to what
	// the pods' status says. It is called concurrently, and its context ends
	// when the control plane stops.
	DialPods DialFunc
	// Users of the API server that authenticate with a token (--token-auth-file). None has the
	// administrator's name, "kubernaut-admin".
	Users []User
	// Programs to run; empty means those that Find returns.
	Programs Programs
	// Progress receives a line about each step that takes long.
	Progress progress.Func
}

// DialFunc makes a connection, as net.Dialer's DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// User of an API server, without any rights but what RBAC grants.
type User struct {
	Name   string   `json:"name"`
	UID    string   `json:"uid"`
	Groups []string `json:"groups"`
	Token  string   `json:"token"`
}

// ControlPlane is a running API server. Its methods are safe for concurrent use.
type ControlPlane struct {
	programs Programs
	config   *rest.Config

	data *supervise.Dir // objects and service account key
	run  *supervise.Dir // socket, certificate, kubeconfig; data too, if it is temporary
	etcd *supervise.Process
	api  *supervise.Process
	// controllers run once RunControllers was called; nil before.
	controllers *supervise.Process
	pods        *podNetwork // nil where the API server connects by itself
}

// Start finds the programs, starts them and installs Kubernaut's resources and admission policies.
// The caller stops it.
func Start(ctx context.Context, opts Options) (*ControlPlane, error) {
	c := &ControlPlane{programs: opts.Programs}
	if c.programs.APIServer == "" || c.programs.Etcd == "" {
		var err error
		if c.programs, err = Find(ctx, opts.Progress); err != nil {
			return nil, err
		}
	}
	end := opts.Progress.During("starting kube-apiserver and etcd", nil)
	defer end()
	if err := c.start(ctx, &opts); err != nil {
		return nil, errors.Join(err, c.abandon(ctx))
	}
	return c, nil
}

// Config gives full access (system:masters), without a client-side rate limit.
func (c *ControlPlane) Config() *rest.Config { return rest.CopyConfig(c.config) }

// ConfigFor acts as a user without any rights but what RBAC grants to the user
// and the groups.
func (c *ControlPlane) ConfigFor(user string, groups ...string) *rest.Config {
	config := c.Config()
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return config
}

// Kubeconfig is the path of a file with full access that its owner alone can read. It also has a
// context for each of Options.Users, with the user's name.
func (c *ControlPlane) Kubeconfig() string { return c.run.Join(kubeconfigFile) }

// Authorities sign certificates that the API server believes.
func (c *ControlPlane) Authorities() Authorities { return OpenAuthorities(c.run.Path()) }

// Programs returns what runs.
func (c *ControlPlane) Programs() Programs { return c.programs }

// Stop ends all programs and removes temporary objects.
func (c *ControlPlane) Stop(ctx context.Context) error {
	var errs []error
	// in this order: an API server without etcd waits for it
	for _, p := range []*supervise.Process{c.controllers, c.api, c.etcd} {
		if p != nil {
			errs = append(errs, p.Stop(ctx))
		}
	}
	if c.pods != nil {
		errs = append(errs, c.pods.stop())
	}
	if c.data != nil && c.data != c.run {
		errs = append(errs, c.data.Close())
	}
	if c.run != nil {
		errs = append(errs, c.run.Close())
	}
	return errors.Join(errs...)
}

func (c *ControlPlane) start(ctx context.Context, opts *Options) (err error) {
	if c.run, err = supervise.Temporary(ctx, "control-plane"); err != nil {
		return fmt.Errorf("prepare control plane: %w", err)
	}
	c.data = c.run
	if opts.DataDir != "" {
		if c.data, err = supervise.Open(ctx, opts.DataDir); err != nil {
			return fmt.Errorf("prepare control plane: %w", err)
		}
	}
	if opts.DialPods != nil {
		if c.pods, err = startPodNetwork(ctx, c.run, opts.DialPods); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(opts.Users, func(u User) bool { return u.Name == admin }) {
		return fmt.Errorf("prepare control plane: a user cannot be called %q: that is the administrator", admin)
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx, opts.Users); err != nil {
		return err
	}
	if err := writeKubeconfig(c.Kubeconfig(), c.config, opts.Users); err != nil {
		return err
	}
	if err := installResources(c.config); err != nil {
		return err
	}
	return InstallPolicies(ctx, c.config)
}

func (c *ControlPlane) startEtcd(ctx context.Context) error {
	var err error
	c.etcd, err = supervise.Start(c.data, supervise.Spec{
		Name: etcdName, Path: c.programs.Etcd, Args: c.etcdArgs(), Env: environment(), WorkingDir: c.run.Path(),
	})
	if err != nil {
		return fmt.Errorf("serve objects: %w", err)
	}
	if err := c.etcd.WaitFor(ctx, "ready to serve client requests"); err != nil {
		return fmt.Errorf("serve objects: %w", err)
	}
	return nil
}

func (c *ControlPlane) startAPIServer(ctx context.Context, users []User) error {
	secrets, err := makeSecrets(c.data, c.run, users)
	if err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		port, err := freePort(ctx)
		if err != nil {
			return err
		}
		c.api, err = supervise.Start(c.data, supervise.Spec{
			Name: "kube-apiserver", Path: c.programs.APIServer, Args: c.apiServerArgs(port),
			Env: environment(), WorkingDir: c.run.Path(),
			StopSignal: syscall.SIGTERM,
		})
		if err != nil {
			return fmt.Errorf("serve API: %w", err)
		}
		c.config = secrets.config(port)
		err = c.ready(ctx)
		if err == nil {
			return nil
		}
		if attempt == portAttempts || ctx.Err() != nil || !portTaken(c.api) {
			return fmt.Errorf("serve API: %w", err)
		}
	}
}

// ready waits until the API server reports that it is ready.
func (c *ControlPlane) ready(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return fmt.Errorf("make client: %w", err)
	}
	err = wait.PollUntilContextCancel(ctx, readyPoll, true, func(ctx context.Context) (bool, error) {
		select {
		case <-c.api.Done():
			return false, c.api.Failure()
		default:
		}
		err := client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		return err == nil, nil
	})
	if ctx.Err() != nil {
		return fmt.Errorf("wait for kube-apiserver: %w%s", context.Cause(ctx), c.api.LastLines())
	}
	if err != nil {
		return fmt.Errorf("wait for kube-apiserver: %w", err)
	}
	return nil
}

// abandon ends what a failed start began.
func (c *ControlPlane) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	return c.Stop(ctx)
}

func freePort(ctx context.Context) (int, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = listener.Close() }()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("find a free port: unexpected address %v", listener.Addr())
	}
	return address.Port, nil
}

// environment shields the programs from settings (ETCD_*, proxies).
func environment() []string { return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()} }
