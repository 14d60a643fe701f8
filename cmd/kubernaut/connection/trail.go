package connection

import (
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/cli"
)

// Trail selects the DataStorage of a cluster, behind the API server or directly.
type Trail struct {
	At     Flags
	Direct Direct
}

// Open returns a client of DataStorage itself if its URL is given, and otherwise one of the API server.
func (t *Trail) Open() (direct *datastorage.ClientWithResponses, aggregated rest.Interface, err error) {
	if err := t.Direct.Check(); err != nil {
		return nil, nil, err
	}
	if t.Direct.URL != "" {
		client, authorize, err := t.Direct.Client()
		if err != nil {
			return nil, nil, err
		}
		direct, err = datastorage.NewClientWithResponses(t.Direct.URL, datastorage.WithHTTPClient(client), datastorage.WithRequestEditorFn(authorize))
		if err != nil {
			return nil, nil, cli.Usagef("--datastorage-url: %w", err)
		}
		return direct, nil, nil
	}
	config, _, err := t.At.Config()
	if err != nil {
		return nil, nil, err
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, cli.Usagef("--kubeconfig: %w", err)
	}
	return nil, clients.CoreV1().RESTClient(), nil
}
