package kube

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// PodNamespaceFile tells a pod its own namespace; outside of pods there is none.
const PodNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// PodNamespace reads a file such as PodNamespaceFile.
func PodNamespace(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the pod's own namespace: %w", err)
	}
	namespace := strings.TrimSpace(string(text))
	if namespace == "" {
		return "", errors.New("the pod's own namespace: " + file + " is empty")
	}
	return namespace, nil
}
