package mustgather

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// Home is the namespace of the deployment.
	Home = "kubernaut-system"

	defaultSince     = time.Hour
	defaultTimeLimit = 20 * time.Second
	// defaultMaxObjects is about what is read, checked for secrets and written within the time limit of a step.
	defaultMaxObjects = 2_000
	maxCorrelationID  = 255 // bytes
)

// Options of Run. The zero value collects from the cluster of the environment
// into the working directory.
type Options struct {
	// Namespaces to collect; if empty, Home and all namespaces with pods or workflows of Kubernaut.
	Namespaces []string
	// Since is the age of the oldest logs and failures; an hour by default.
	Since time.Duration
	// CorrelationIDs are requests that get a timeline, besides the newest failed and the oldest stuck ones.
	CorrelationIDs []string
	// Dest is where the directory must-gather-<time> and its archive are made.
	Dest string
	// Kubeconfig and Context are as kubectl's. Without a Kubeconfig: KUBECONFIG, ~/.kube/config, the pod's service account.
	Kubeconfig, Context string
	// Config is used in place of Kubeconfig if it is set.
	Config *rest.Config
	// TimeLimit is that of each step; 20 seconds by default.
	TimeLimit time.Duration
	// MaxObjects bounds the objects of each of our kinds that are collected outside of Namespaces, besides those that
	// CorrelationIDs name; 2,000 by default. The tables list the others.
	MaxObjects int
	// ShowSensitive includes the payloads of signals and the data of sensitive events.
	ShowSensitive bool

	// DataStorageURL is that of DataStorage if it is not the Service of the cluster. The files have a
	// bearer token and certificate authorities for it.
	DataStorageURL, DataStorageTokenFile, DataStorageCAFile string
	// ExtraLogs is a directory with logs (*.log) and notes (*.txt) of processes outside the cluster.
	ExtraLogs string

	// Out receives progress, and the path of the archive as the last line; nothing by default.
	Out io.Writer
}

// complete sets defaults and checks the options.
func (o *Options) complete() error {
	if o.Since == 0 {
		o.Since = defaultSince
	}
	if o.TimeLimit == 0 {
		o.TimeLimit = defaultTimeLimit
	}
	if o.MaxObjects == 0 {
		o.MaxObjects = defaultMaxObjects
	}
	if o.Dest == "" {
		o.Dest = "."
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Since < 0 || o.TimeLimit < 0 {
		return errors.New("durations must be more than 0")
	}
	if o.MaxObjects < 0 {
		return fmt.Errorf("objects of a kind %d: must be more than 0", o.MaxObjects)
	}
	for _, namespace := range o.Namespaces {
		if err := CheckNamespace(namespace); err != nil {
			return fmt.Errorf("namespace %q: %w", namespace, err)
		}
	}
	for _, id := range o.CorrelationIDs {
		if err := CheckCorrelationID(id); err != nil {
			return err
		}
	}
	if err := CheckURL(o.DataStorageURL); o.DataStorageURL != "" && err != nil {
		return fmt.Errorf("URL of DataStorage: %w", err)
	}
	if o.ExtraLogs != "" {
		if info, err := os.Stat(o.ExtraLogs); err != nil || !info.IsDir() {
			return fmt.Errorf("extra logs: %s is not a directory", o.ExtraLogs)
		}
	}
	return nil
}

// CheckNamespace checks the name of a namespace.
func CheckNamespace(name string) error {
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
		return errors.New("not a valid namespace name")
	}
	return nil
}

// CheckCorrelationID checks a correlation id.
func CheckCorrelationID(id string) error {
	if id == "" || len(id) > maxCorrelationID || strings.ContainsFunc(id, unicode.IsControl) {
		return fmt.Errorf("a correlation id is one line of at most %d bytes", maxCorrelationID)
	}
	return nil
}

// CheckURL checks the URL of DataStorage.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != schemeHTTP && u.Scheme != schemeHTTPS || u.User != nil {
		return errors.New("want http://host[:port] or https://host[:port]")
	}
	return nil
}

// config finds the cluster.
func (o *Options) config() (*rest.Config, error) {
	var c *rest.Config
	if o.Config != nil {
		c = rest.CopyConfig(o.Config)
	} else {
		rules := clientcmd.NewDefaultClientConfigLoadingRules()
		rules.ExplicitPath = o.Kubeconfig
		loaded, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context}).ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("find the cluster: %w", err)
		}
		c = loaded
	}
	c.UserAgent = "kubernaut-must-gather"
	c.DisableCompression = true // it takes longer than sending what is not compressed, except over slow lines
	c.QPS = -1                  // the API server's priority and fairness limits clients better than they can
	c.WarningHandlerWithContext = rest.NoWarnings{}
	return c, nil
}
