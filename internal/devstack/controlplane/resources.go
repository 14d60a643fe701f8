package controlplane

import (
	"fmt"
	"io/fs"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/crds"
)

// installResources installs Kubernaut's resources, or brings existing ones up to
// date, and waits until they are served.
func installResources(config *rest.Config) error {
	definitions, err := resources()
	if err != nil {
		return err
	}
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{CRDs: definitions}); err != nil {
		return fmt.Errorf("install resource definitions: %w", err)
	}
	return nil
}

func resources() ([]*apiextensions.CustomResourceDefinition, error) {
	files, err := fs.Glob(crds.FS, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list resource definitions: %w", err)
	}
	var definitions []*apiextensions.CustomResourceDefinition
	for _, file := range files {
		content, err := crds.FS.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read resource definition: %w", err)
		}
		definition := &apiextensions.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(content, definition); err != nil {
			return nil, fmt.Errorf("read resource definition %s: %w", file, err)
		}
		definitions = append(definitions, definition)
	}
	return definitions, nil
}
