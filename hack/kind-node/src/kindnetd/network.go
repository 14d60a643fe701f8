package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

const (
	configuration     = "/etc/cni/net.d/10-kindnet.conflist"
	configurationMode = 0o644
)

// writeConfiguration lets the container runtime give pods addresses of the
// node's range.
func writeConfiguration(podCIDR string) error {
	wanted := fmt.Sprintf(`{"cniVersion":"0.3.1","name":"kindnet","plugins":[
 {"type":"ptp","ipMasq":false,"mtu":1500,
  "ipam":{"type":"host-local","dataDir":"/run/cni-ipam-state","routes":[{"dst":"0.0.0.0/0"}],"ranges":[[{"subnet":%q}]]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
`, podCIDR)
	if have, err := os.ReadFile(configuration); err == nil && string(have) == wanted {
		return nil
	}
	// The runtime reads the folder whenever it changes: the file must be whole.
	if err := os.WriteFile(configuration+".tmp", []byte(wanted), configurationMode); err != nil {
		return fmt.Errorf("write CNI configuration: %w", err)
	}
	if err := os.Rename(configuration+".tmp", configuration); err != nil {
		return fmt.Errorf("write CNI configuration: %w", err)
	}
	return nil
}

// masquerade gives what leaves the pod network the node's address.
func masquerade(ctx context.Context, pods string) error {
	_, err := command(ctx, fmt.Sprintf(`table ip kindnet
delete table ip kindnet
table ip kindnet {
 chain postrouting {
  type nat hook postrouting priority 90;
  ip saddr %[1]s ip daddr != %[1]s fib daddr type != local masquerade
 }
}
`, pods), "nft", "-f", "-")
	return err
}

func command(ctx context.Context, input, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...) //nolint:gosec // names and arguments are of this program
	c.Stdin = strings.NewReader(input)
	output, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, output)
	}
	return string(output), nil
}
