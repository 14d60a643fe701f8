package stack

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Addresses tells other programs where a running stack is.
type Addresses struct {
	// DataStorage and Gateway are the base URLs of the APIs.
	DataStorage string `json:"datastorage"`
	Gateway     string `json:"gateway"`
	// Management are the base URLs of the management ports, by service.
	Management map[string]string `json:"management"`
	// Maintenance is the base URL of probes and metrics of DataStorage's maintenance,
	// which has nothing to flush.
	Maintenance string `json:"maintenance"`
	// User is who started the stack.
	User string `json:"user"`
	// Kubeconfig is the path of a file with administrator's access to the control plane. Its
	// contexts User and AutoUser have the rights of people who approve remediations.
	Kubeconfig string `json:"kubeconfig"`
	// Kubectl is the path of a kubectl of the control plane's version; empty where there is none.
	Kubectl string `json:"kubectl,omitempty"`
}

// ReadAddresses reads what WriteFile wrote.
func ReadAddresses(path string) (Addresses, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Addresses{}, fmt.Errorf("addresses file: %w (kubernaut up --addresses %s writes it once everything is ready)", err, path)
	}
	var a Addresses
	if err := json.Unmarshal(text, &a); err != nil {
		return Addresses{}, fmt.Errorf("addresses file %s: %w", path, err)
	}
	if a.DataStorage == "" || a.Gateway == "" || a.Kubeconfig == "" {
		return Addresses{}, fmt.Errorf("addresses file %s: datastorage, gateway or kubeconfig is missing", path)
	}
	return a, nil
}

// WriteFile writes the addresses as JSON, whole or not at all: a reader never
// sees half of them.
func (a Addresses) WriteFile(path string) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("addresses file %s: %w", path, err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".addresses-*")
	if err != nil {
		return fmt.Errorf("addresses file %s: %w", path, err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // nothing is left to remove after the rename
	_, err = temporary.Write(append(text, '\n'))
	if closeErr := temporary.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("addresses file %s: %w", path, err)
	}
	return nil
}
