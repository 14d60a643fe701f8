package classify

import (
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"kubernaut.ai/pkg/audit/wire"
)

// OriginBuiltIn is the origin of the embedded policies.
const OriginBuiltIn = "built-in"

// maxBundleBytes bounds the size of a bundle.
const maxBundleBytes = 4 << 20

//go:embed policies/*.rego
var builtIn embed.FS

// Bundle is a set of Rego modules and its identity.
type Bundle struct {
	// Origin says where the bundle came from.
	Origin string
	// SHA256 is the hex digest over the names and contents of the modules, without tests.
	SHA256 string
	// Modules are the sources by file name.
	Modules map[string]string
}

// BuiltIn returns the embedded policies.
func BuiltIn() (Bundle, error) {
	return LoadBundle(builtIn, "policies", OriginBuiltIn)
}

// LoadBundle reads the .rego files of a directory of fsys, except the policies' tests
// (_test.rego).
func LoadBundle(fsys fs.FS, dir, origin string) (Bundle, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.rego"))
	if err != nil {
		return Bundle{}, fmt.Errorf("list policies of %s: %w", origin, err)
	}
	b := Bundle{Origin: origin, Modules: make(map[string]string, len(names))}
	total := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.rego") {
			continue
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return Bundle{}, fmt.Errorf("read policy of %s: %w", origin, err)
		}
		if total += len(text); total > maxBundleBytes {
			return Bundle{}, fmt.Errorf("policies of %s are larger than %d bytes", origin, maxBundleBytes)
		}
		b.Modules[path.Base(name)] = string(text)
	}
	if len(b.Modules) == 0 {
		return Bundle{}, errors.New("policies of " + origin + ": no .rego file found")
	}
	b.SHA256 = digest(b.Modules)
	return b, nil
}

// digest hashes names and contents in the order of the names.
func digest(modules map[string]string) string {
	d := wire.NewDigest()
	for _, name := range sortedNames(modules) {
		d.Text(name)
		d.Text(modules[name])
	}
	sum := d.Sum()
	return hex.EncodeToString(sum[:])
}

func sortedNames(modules map[string]string) []string {
	names := make([]string, 0, len(modules))
	for name := range modules {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
