package stack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/devstack/consent"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/internal/devstack/supervise"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/lifecycle"
	datastorage "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
)

const (
	// Namespace is the platform's own.
	Namespace = "kubernaut-system"

	// WorkflowsNamespace is that of workflows, their accounts and their Jobs.
	WorkflowsNamespace = "kubernaut-workflows"

	databaseName = "kubernaut"
	anyPort      = "127.0.0.1:0"
	// stopTimeout bounds the end of the programs that the stack provides.
	stopTimeout = 30 * time.Second
)

// Options of a stack.
type Options struct {
	// DataDir keeps what the stack stores; it is temporary where DataDir is empty.
	DataDir string
	// GatewayListen and DataStorageListen are host:port on loopback; a free port where they are empty.
	GatewayListen, DataStorageListen string
	// Consent is asked before the machine is changed; nil refuses.
	Consent consent.Func
	// Progress receives a line about each step that takes long.
	Progress progress.Func
	// Log gets the services' logs.
	Log *zap.Logger
}

// Stack is a running platform.
type Stack struct {
	options Options
	// stops ends what was started, in the order in which it was started.
	stops []func(context.Context) error
	// failed receives the first service that ended by itself.
	failed    chan struct{}
	addresses Addresses
}

// Start starts everything and waits until it is ready. The caller stops it.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	kube.LogTo(o.Log)
	s := &Stack{options: o, failed: make(chan struct{}, 1)}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	return s, nil
}

// Addresses tells where the parts are.
func (s *Stack) Addresses() Addresses { return s.addresses }

// Failed receives a value when a service has ended by itself; Stop then returns why.
func (s *Stack) Failed() <-chan struct{} { return s.failed }

// Stop ends everything, what depends on others first: the Gateway takes no
// more signals, the services flush, then what they recorded in ends. It goes
// on when ctx has ended.
func (s *Stack) Stop(ctx context.Context) error {
	var errs []error
	for _, stop := range slices.Backward(s.stops) {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		errs = append(errs, stop(bounded))
		cancel()
	}
	s.stops = nil
	return errors.Join(errs...)
}

func (s *Stack) start(ctx context.Context) error {
	if err := s.own(ctx); err != nil {
		return err
	}
	users, err := s.people()
	if err != nil {
		return err
	}
	database, cluster, controllers, err := s.provide(ctx, users)
	if err != nil {
		return err
	}
	urls, err := prepareDatabase(ctx, database)
	if err != nil {
		return err
	}
	if err := createNamespaces(ctx, cluster, Namespace, WorkflowsNamespace); err != nil {
		return err
	}
	c, err := client.New(cluster.Config(), client.Options{})
	if err != nil {
		return fmt.Errorf("connect to the control plane: %w", err)
	}
	if err := errors.Join(installWorkflows(ctx, c), admitPeople(ctx, c, users)); err != nil {
		return err
	}
	s.addresses.Kubeconfig = cluster.Kubeconfig()
	s.addresses.Kubectl = cluster.Programs().Kubectl
	s.addresses.Management = map[string]string{}
	// The controllers need seconds until they know all resources.
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error { return cluster.RunControllers(both, controllers) })
	group.Go(func() error { return s.startServices(both, urls, cluster) })
	return group.Wait() //nolint:wrapcheck // says what and where
}

// databaseURLs are the connection strings of DataStorage's programs.
type databaseURLs struct{ serving, maintaining string }

// prepareDatabase makes DataStorage's database, with the roles of a deployment.
func prepareDatabase(ctx context.Context, server *postgres.Server) (databaseURLs, error) {
	url, err := server.CreateDatabase(ctx, databaseName, "")
	if err != nil {
		return databaseURLs{}, fmt.Errorf("create database %s: %w", databaseName, err)
	}
	var urls databaseURLs
	if urls.serving, err = postgres.As(url, postgres.ServingRole); err == nil {
		urls.maintaining, err = postgres.As(url, postgres.MigrationRole)
	}
	if err != nil {
		return databaseURLs{}, fmt.Errorf("prepare database %s: %w", databaseName, err)
	}
	roles := datastorage.Roles{Owner: postgres.OwnerRole, Serving: postgres.ServingRole}
	if _, err := datastorage.Migrate(ctx, urls.maintaining, roles, time.Now()); err != nil {
		return databaseURLs{}, fmt.Errorf("prepare database %s: %w", databaseName, err)
	}
	return urls, nil
}

// own takes the data directory for this process, before anything starts in it.
func (s *Stack) own(ctx context.Context) error {
	if s.options.DataDir == "" {
		return nil
	}
	data, err := supervise.Open(ctx, s.options.DataDir)
	if err != nil {
		return fmt.Errorf("open the data directory: %w", err)
	}
	s.stops = append(s.stops, func(context.Context) error { return data.Close() })
	return nil
}

// provide starts PostgreSQL and the control plane beside each other, and finds the program of
// the controllers.
func (s *Stack) provide(ctx context.Context, users []controlplane.User) (*postgres.Server, *controlplane.ControlPlane, string, error) {
	var database *postgres.Server
	var cluster *controlplane.ControlPlane
	var controllers string
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		database, err = postgres.Start(both, postgres.Options{
			DataDir: s.dir("postgresql"), Consent: s.options.Consent, Progress: s.options.Progress,
		})
		return err //nolint:wrapcheck // says what, where and what to do
	})
	group.Go(func() (err error) {
		cluster, err = controlplane.Start(both, controlplane.Options{DataDir: s.dir("control-plane"), Users: users, Progress: s.options.Progress})
		if err == nil {
			controllers, err = controlplane.FindControllers(both, s.options.Progress)
		}
		return err //nolint:wrapcheck // says what, where and what to do
	})
	err := group.Wait()
	if database != nil {
		s.stops = append(s.stops, database.Stop)
		s.options.Progress.Sayf("PostgreSQL is up: %s", database.Origin())
	}
	if cluster != nil {
		s.stops = append(s.stops, cluster.Stop)
		s.options.Progress.Sayf("control plane is up: %s", cluster.Programs().Origin)
	}
	if err != nil {
		return nil, nil, "", fmt.Errorf("provide PostgreSQL and a control plane: %w", err)
	}
	return database, cluster, controllers, nil
}

func (s *Stack) dir(part string) string {
	if s.options.DataDir == "" {
		return ""
	}
	return filepath.Join(s.options.DataDir, part)
}

func createNamespaces(ctx context.Context, cluster *controlplane.ControlPlane, names ...string) error {
	clients, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		return fmt.Errorf("connect to the control plane: %w", err)
	}
	for _, name := range names {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		_, err = clients.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create namespace %s: %w", name, err)
		}
	}
	return nil
}

func (s *Stack) startServices(ctx context.Context, urls databaseURLs, cluster *controlplane.ControlPlane) error {
	log := s.options.Log
	spools, err := s.spools(ctx)
	if err != nil {
		return err
	}
	storage, err := s.startStorage(ctx, urls, spools)
	if err != nil {
		return err
	}

	processing, err := signalprocessing.New(signalprocessing.Options{
		DataStorageURL: storage.APIURL(), ManagementListen: anyPort, RESTConfig: cluster.Config(), GatewayNamespace: Namespace, LeaveClassified: true,
		Spool: spool.Flags{Dir: filepath.Join(spools, "signalprocessing")}, Log: log.Named("signalprocessing"),
	})
	if err != nil {
		return fmt.Errorf("configure SignalProcessing: %w", err)
	}
	if err := s.run(ctx, "SignalProcessing", processing); err != nil {
		return err
	}
	s.addresses.Management["signalprocessing"] = processing.ManagementURL()

	if err := s.startRemediation(ctx, storage.APIURL(), spools, cluster); err != nil {
		return err
	}
	webhook, err := gateway.New(gateway.Options{
		DataStorageURL: storage.APIURL(), Listen: cmp.Or(s.options.GatewayListen, anyPort), ManagementListen: anyPort,
		RESTConfig: cluster.Config(), Namespace: Namespace,
		Spool: spool.Flags{Dir: filepath.Join(spools, "gateway")}, Log: log.Named("gateway"),
	})
	if err != nil {
		return fmt.Errorf("configure Gateway: %w", err)
	}
	if err := s.run(ctx, "Gateway", webhook); err != nil {
		return err
	}
	s.addresses.Gateway = webhook.APIURL()
	s.addresses.Management["gateway"] = webhook.ManagementURL()
	return nil
}

// startStorage starts DataStorage and its maintenance.
func (s *Stack) startStorage(ctx context.Context, urls databaseURLs, spools string) (*datastorage.App, error) {
	log := s.options.Log
	storage, err := datastorage.New(datastorage.Options{
		DatabaseURL: urls.serving, Listen: cmp.Or(s.options.DataStorageListen, anyPort), ManagementListen: anyPort,
		Spool: spool.Flags{Dir: filepath.Join(spools, "datastorage")}, Log: log.Named("datastorage"),
	})
	if err != nil {
		return nil, fmt.Errorf("configure DataStorage: %w", err)
	}
	if err := s.run(ctx, "DataStorage", storage); err != nil {
		return nil, err
	}
	s.addresses.DataStorage = storage.APIURL()
	s.addresses.Management["datastorage"] = storage.ManagementURL()

	maintenance, err := datastorage.NewMaintainer(datastorage.MaintainOptions{
		DatabaseURL: urls.maintaining, ManagementListen: anyPort, Log: log.Named("datastorage-maintenance"),
	})
	if err != nil {
		return nil, fmt.Errorf("configure the maintenance of DataStorage: %w", err)
	}
	if err := s.run(ctx, "the maintenance of DataStorage", maintenance); err != nil {
		return nil, err
	}
	s.addresses.Maintenance = maintenance.ManagementURL()
	return storage, nil
}

func (s *Stack) startRemediation(ctx context.Context, storageURL, spools string, cluster *controlplane.ControlPlane) error {
	remediation, err := workflowexecution.New(workflowexecution.Options{
		DataStorageURL: storageURL, ManagementListen: anyPort, RESTConfig: cluster.Config(),
		PlatformNamespace: Namespace, WorkflowsNamespace: WorkflowsNamespace,
		Spool: spool.Flags{Dir: filepath.Join(spools, "workflowexecution")}, Log: s.options.Log.Named("workflowexecution"),
	})
	if err != nil {
		return fmt.Errorf("configure WorkflowExecution: %w", err)
	}
	if err := s.run(ctx, "WorkflowExecution", remediation); err != nil {
		return err
	}
	s.addresses.Management["workflowexecution"] = remediation.ManagementURL()
	return nil
}

// spools is the folder of the services' spools; a temporary one goes when they have ended.
func (s *Stack) spools(ctx context.Context) (string, error) {
	if dir := s.dir("audit-spool"); dir != "" {
		return dir, nil
	}
	temporary, err := supervise.Temporary(ctx, "audit-spool")
	if err != nil {
		return "", fmt.Errorf("make a folder for the audit spools: %w", err)
	}
	s.stops = append(s.stops, func(context.Context) error { return temporary.Close() })
	return temporary.Path(), nil
}

// run starts a service and keeps an eye on it.
func (s *Stack) run(ctx context.Context, name string, app lifecycle.App) error {
	running, err := lifecycle.Start(ctx, name, app)
	if err != nil {
		return err //nolint:wrapcheck // names the service
	}
	s.stops = append(s.stops, func(context.Context) error { return running.Stop() })
	s.options.Progress.Sayf("%s is up", name)
	go func() {
		<-running.Ended()
		select {
		case s.failed <- struct{}{}:
		default: // one is enough
		}
	}()
	return nil
}
