package kube

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// PodNamespaceFile holds a pod's own namespace; it does not exist outside of pods.
const PodNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// PodNamespace reads the pod's own namespace from a file, PodNamespaceFile in a pod.
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

// CheckNamespace checks the name of a namespace.
func CheckNamespace(name string) error {
	if complaints := validation.IsDNS1123Label(name); len(complaints) > 0 {
		return errors.New(strings.Join(complaints, ", "))
	}
	return nil
}
