// Command certificates makes the certificates that component tls needs, for
// clusters without cert-manager, as a kustomize component:
//
//	go run ./hack/certificates -namespace kubernaut-system -dir DIR
//
// An overlay lists DIR under components, behind ../../components/tls and
// ../../components/people. Run it again to renew the certificates: the authority
// stays, and a certificate is replaced if it expires within a month or has other
// names. DIR has private keys.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	var o options
	var addresses string
	flag.StringVar(&o.namespace, "namespace", "kubernaut-system", "namespace of the platform")
	flag.StringVar(&o.dir, "dir", "", "directory of the component, which is made if it is missing")
	flag.StringVar(&addresses, "ip", "", "IP addresses besides the names of the Services, separated by commas")
	flag.Parse()
	if o.dir == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2) //nolint:mnd // wrong usage
	}
	if addresses != "" {
		o.addresses = strings.Split(addresses, ",")
	}
	if err := o.write(time.Now()); err != nil {
		fmt.Fprintln(os.Stderr, "certificates:", err)
		os.Exit(1)
	}
}
