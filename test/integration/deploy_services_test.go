//go:build integration

package integration_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/lifecycle"
	datastorage "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
)

// started is the configuration that a service is started with.
type started struct {
	listen, management string
	auth               *auth.Flags // nil for a service without an API
	spool              *spool.Flags
	grace              time.Duration
	database           *datastorage.Options // nil for a service without a database
}

// deployedService is a service with the flags of its main.
type deployedService struct {
	prefix   string
	addFlags func(*pflag.FlagSet)
	started  func() started
}

func deployedServices() map[string]*deployedService {
	var d datastorage.Options
	var g gateway.Options
	var s signalprocessing.Options
	var w workflowexecution.Options
	return map[string]*deployedService{
		"datastorage": {"DATASTORAGE", d.AddFlags, func() started {
			return started{listen: d.Listen, management: d.ManagementListen, auth: &d.Auth, grace: d.Grace, database: &d}
		}},
		"gateway": {"GATEWAY", g.AddFlags, func() started {
			return started{listen: g.Listen, management: g.ManagementListen, auth: &g.Auth, spool: &g.Spool, grace: g.Grace}
		}},
		"signalprocessing": {"SIGNALPROCESSING", s.AddFlags, func() started {
			return started{management: s.ManagementListen, spool: &s.Spool, grace: s.Grace}
		}},
		"workflowexecution": {"WORKFLOWEXECUTION", w.AddFlags, func() started {
			return started{management: w.ManagementListen, spool: &w.Spool, grace: w.Grace}
		}},
	}
}

// errStarted ends a command instead of starting the service.
var errStarted = errors.New("started")

// start parses the configuration file, environment and arguments of the service's
// container in an overlay. The spec fails if the service does not accept them.
func (d deployment) start(name string) started {
	GinkgoHelper()
	s := deployedServices()[name]
	w := d.workload(name)
	c := &w.template.Spec.Containers[0]
	Expect(c.Args[0]).To(Equal("serve"))
	command := cli.Serve(s.prefix, "", s.addFlags, func(*zap.Logger) (lifecycle.App, error) { return nil, errStarted })
	d.run(w, c, s.prefix, command, command, c.Args[1:])
	return s.started()
}

// run executes a program with a container's environment; command is the one
// whose flags the container sets.
func (d deployment) run(w *workload, c *corev1.Container, prefix string, program, command *cobra.Command, args []string) {
	GinkgoHelper()
	setEnvironment(c, prefix, command.Flags())
	var stderr bytes.Buffer
	program.SetErr(&stderr)
	cli.Execute(GinkgoT().Context(), program, d.mount(w, c, args), &stderr)
	Expect(stderr.String()).To(HaveSuffix(": "+errStarted.Error()+"\n"), "%s/%s", w.name, c.Name)
}

// setEnvironment sets the container's variables. A variable with the service's
// prefix must be one of its flags.
func setEnvironment(c *corev1.Container, prefix string, flags *pflag.FlagSet) {
	GinkgoHelper()
	for _, e := range c.Env {
		flag, ok := strings.CutPrefix(e.Name, prefix+"_")
		if !ok {
			Expect(e.Name).To(BeElementOf("GOMEMLIMIT", "GOGC"), "%s: neither a flag nor of Go's", c.Name)
			continue
		}
		flag = strings.ToLower(strings.ReplaceAll(flag, "_", "-"))
		Expect(flags.Lookup(flag)).NotTo(BeNil(), "%s: %s is no flag", c.Name, e.Name)
		value := e.Value
		switch {
		case e.ValueFrom == nil:
		case e.ValueFrom.SecretKeyRef != nil:
			value = "postgres://user:password@postgres/audit"
		default:
			Expect(e.ValueFrom.FieldRef.FieldPath).To(Equal("metadata.namespace"))
			value = deployNamespace
		}
		GinkgoT().Setenv(e.Name, value)
	}
}

// mount writes the container's configuration to a directory, and adapts the
// arguments.
func (d deployment) mount(w *workload, c *corev1.Container, args []string) []string {
	GinkgoHelper()
	args = slices.Clone(args)
	for i, arg := range args {
		path, ok := strings.CutPrefix(arg, "--config=")
		if !ok {
			continue
		}
		m := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == filepath.Dir(path) })
		Expect(m).NotTo(Equal(-1), "%s: nothing is mounted for %s", c.Name, path)
		v := slices.IndexFunc(w.template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == c.VolumeMounts[m].Name })
		Expect(v).NotTo(Equal(-1), c.Name)
		text := d.configured(w.template.Spec.Volumes[v].ConfigMap.Name, filepath.Base(path))
		file := filepath.Join(GinkgoT().TempDir(), filepath.Base(path))
		Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
		args[i] = "--config=" + file
	}
	return args
}

var _ = Describe("deployment: configuration", func() {
	eachOverlay("every flag, key and variable is one that its service takes, and no API is open to everybody", func(d deployment) {
		for name := range deployedServices() {
			s := d.start(name)
			Expect(s.management).To(Equal(":9090"), name)
			if s.auth != nil {
				Expect(s.listen).To(Equal(":8080"), name)
				Expect(s.auth.Mode).To(Equal(auth.ModeKubernetes), name)
				Expect(s.auth.AllowInsecure).To(BeFalse(), name)
			}
		}
	})

	eachOverlay("every pod of DataStorage migrates, and the one that serves is no member of the owner", func(d deployment) {
		serving := &d.workload("datastorage").template.Spec.Containers[0]
		for _, name := range []string{"datastorage", "datastorage-maintenance"} {
			w := d.workload(name)
			all := w.template.Spec.InitContainers
			migrate := &all[len(all)-1]
			Expect(migrate.Args[:2]).To(Equal([]string{"migrate", "up"}), name)
			var flags datastorage.MigrateFlags
			program, command := commandOf("up", flags.AddTo)
			d.run(w, migrate, "DATASTORAGE", program, command, migrate.Args[1:])
			Expect(flags.StartupTimeout).To(BeNumerically(">", time.Minute), "longer than a first start of PostgreSQL takes")
			Expect(flags.Roles.Owner).NotTo(BeEmpty(), name)
			Expect(flags.Roles.Serving).NotTo(BeEmpty(), name)
			Expect(secretKey(migrate)).To(Equal("migration-url"), name)
		}
		Expect(secretKey(serving)).To(Equal("url"))
	})

	eachOverlay("maintenance runs once, and ends within its time", func(d deployment) {
		w := d.workload("datastorage-maintenance")
		Expect(w.replicas).To(HaveValue(BeEquivalentTo(1)))
		c := &w.template.Spec.Containers[0]
		Expect(c.Args[0]).To(Equal("maintain"))
		var options datastorage.MaintainOptions
		program, command := commandOf("maintain", options.AddFlags)
		d.run(w, c, "DATASTORAGE", program, command, c.Args)
		Expect(options.ManagementListen).To(Equal(":9090"))
		Expect(secretKey(c)).To(Equal("migration-url"))
		Expect(w.template.Spec.AutomountServiceAccountToken).To(HaveValue(BeFalse()))
		const grace = 10 // seconds; MaintainOptions has none
		Expect(*w.template.Spec.TerminationGracePeriodSeconds).To(BeNumerically(">", grace))
	})

	eachOverlay("a pod has the time to stop that its service takes", func(d deployment) {
		for name := range deployedServices() {
			pod := d.workload(name).template.Spec
			drain := pod.Containers[0].Lifecycle.PreStop.Sleep
			Expect(drain).NotTo(BeNil(), name)
			needed := time.Duration(drain.Seconds)*time.Second + d.start(name).grace
			Expect(time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second).To(BeNumerically(">", needed), name)
		}
	})

	eachOverlay("a spool is on its own volume, and smaller than it", func(d deployment) {
		for name := range deployedServices() {
			s := d.start(name)
			if s.spool == nil {
				continue
			}
			w := d.workload(name)
			Expect(w.kind).To(Equal("StatefulSet"), "%s: a volume a replica", name)
			Expect(w.claims).To(HaveLen(1), name)
			size := w.claims[0].Spec.Resources.Requests.Storage()
			Expect(size.Value()).To(BeNumerically(">", s.spool.MaxBytes), "%s: the quarantine needs space too", name)
			mounts := w.template.Spec.Containers[0].VolumeMounts
			i := slices.IndexFunc(mounts, func(m corev1.VolumeMount) bool { return m.Name == w.claims[0].Name })
			Expect(i).NotTo(Equal(-1), name)
			Expect(s.spool.Dir).To(HavePrefix(mounts[i].MountPath+"/"), name)
			Expect(s.spool.Check()).To(Succeed())
		}
	})

	eachOverlay("the database has connections for every replica, and for one more during a rollout", func(d deployment) {
		const reserved = 3 // superuser_reserved_connections
		capacity := 100    // PostgreSQL's default
		if w := d.find("postgres"); w != nil {
			capacity = number(`max_connections=(\d+)`, strings.Join(w.template.Spec.Containers[0].Args, " "))
		}
		const maintenance = 2 * 3 // connections, and during a migration
		replicas := d.workload("datastorage").replicas
		for _, s := range typed[autoscalingv2.HorizontalPodAutoscaler](d, "HorizontalPodAutoscaler") {
			if s.Spec.ScaleTargetRef.Name == "datastorage" {
				replicas = &s.Spec.MaxReplicas
			}
		}
		options := d.start("datastorage").database
		Expect((int(*replicas) + 1) * options.MaxConnections).To(BeNumerically("<=", capacity-reserved-maintenance))
	})

	It("has TLS on both APIs in production, and their callers trust the CA", func() {
		d := build("production")
		for _, name := range []string{"datastorage", "gateway"} {
			expectMountedFiles(d.workload(name), "TLS_CERT", "TLS_KEY")
		}
		for _, name := range []string{"gateway", "signalprocessing", "workflowexecution"} {
			w := d.workload(name)
			expectMountedFiles(w, "DATASTORAGE_CA_FILE")
			Expect(w.template.Spec.Containers[0].Env).To(ContainElement(
				corev1.EnvVar{Name: strings.ToUpper(name) + "_DATASTORAGE_URL", Value: "https://datastorage:8080"}))
		}
	})
})

// commandOf is a command of the program datastorage that does nothing. The
// variables of serve may be set as well: the program knows them.
func commandOf(name string, addFlags func(*pflag.FlagSet)) (program, command *cobra.Command) {
	command = &cobra.Command{Use: name, Args: cli.NoArgs, RunE: func(*cobra.Command, []string) error { return errStarted }}
	addFlags(command.Flags())
	cli.Configure(command, "DATASTORAGE")
	program = cli.Group(&cobra.Command{Use: "datastorage"})
	program.AddCommand(command, cli.Serve("DATASTORAGE", "", new(datastorage.Options).AddFlags, nil))
	return program, command
}

// secretKey is the key of Secret datastorage-database that a container connects with.
func secretKey(c *corev1.Container) string {
	GinkgoHelper()
	i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "DATASTORAGE_DATABASE_URL" })
	Expect(i).NotTo(Equal(-1), c.Name)
	return c.Env[i].ValueFrom.SecretKeyRef.Key
}

// expectMountedFiles expects the files that a workload's variables name to be
// mounted, and only the named keys of another's Secret to be visible.
func expectMountedFiles(w *workload, variables ...string) {
	GinkgoHelper()
	c := &w.template.Spec.Containers[0]
	for _, variable := range variables {
		i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == strings.ToUpper(w.name)+"_"+variable })
		Expect(i).NotTo(Equal(-1), "%s has no %s", w.name, variable)
		m := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == filepath.Dir(c.Env[i].Value) })
		Expect(m).NotTo(Equal(-1), "%s: nothing is mounted for %s", w.name, variable)
		v := slices.IndexFunc(w.template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == c.VolumeMounts[m].Name })
		Expect(v).NotTo(Equal(-1), "%s: %s", w.name, variable)
		secret := w.template.Spec.Volumes[v].Secret
		if secret.SecretName != w.name+"-tls" {
			Expect(secret.Items).To(ConsistOf(corev1.KeyToPath{Key: "ca.crt", Path: "ca.crt"}), "%s sees another's key", w.name)
		}
	}
}

// number is the value of a pattern's first group in a text.
func number(pattern, text string) int {
	GinkgoHelper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	Expect(found).To(HaveLen(2), "%s in %q", pattern, text)
	n, err := strconv.Atoi(found[1])
	Expect(err).NotTo(HaveOccurred())
	return n
}
