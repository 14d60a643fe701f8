package policy

import (
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"kubernaut.ai/pkg/audit/wire"
)

// OriginBuiltIn is the origin of the embedded policies.
const OriginBuiltIn = "built-in"

// maxBundleBytes bounds the size of a bundle with its tests. A ConfigMap holds a
// quarter of it.
const maxBundleBytes = 4 << 20

const (
	extension     = ".rego"
	testExtension = "_test.rego"
)

//go:embed builtin/*.rego
var builtIn embed.FS

// Bundle is a set of Rego modules and its identity.
type Bundle struct {
	// Origin says where the bundle came from.
	Origin string
	// SHA256 is the hex digest over the names and contents of the modules, without tests.
	SHA256 string
	// Modules are the sources by file name.
	Modules map[string]string
	// Tests are the sources of the modules' tests (_test.rego) by file name.
	Tests map[string]string
}

// BuiltIn returns the embedded policies.
func BuiltIn() (Bundle, error) { return Load(builtIn, "builtin", OriginBuiltIn) }

// Load reads the .rego files of a directory of fsys, but not of its subdirectories.
func Load(fsys fs.FS, dir, origin string) (Bundle, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*"+extension))
	if err != nil {
		return Bundle{}, fmt.Errorf("list policies of %s: %w", origin, err)
	}
	b := Bundle{Origin: origin, Modules: map[string]string{}, Tests: map[string]string{}}
	total := 0
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return Bundle{}, fmt.Errorf("read policy of %s: %w", origin, err)
		}
		if total += len(text); total > maxBundleBytes {
			return Bundle{}, fmt.Errorf("policies of %s are larger than %d bytes", origin, maxBundleBytes)
		}
		into := b.Modules
		if strings.HasSuffix(name, testExtension) {
			into = b.Tests
		}
		into[path.Base(name)] = string(text)
	}
	if len(b.Modules) == 0 {
		return Bundle{}, errors.New("policies of " + origin + ": no " + extension + " file found")
	}
	b.SHA256 = digest(b.Modules)
	return b, nil
}

// content identifies the bundle with its tests.
func (b *Bundle) content() string { return digest(b.Modules) + digest(b.Tests) }

// digest hashes names and contents in the order of the names.
func digest(modules map[string]string) string {
	d := wire.NewDigest()
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		d.Text(name)
		d.Text(modules[name])
	}
	sum := d.Sum()
	return hex.EncodeToString(sum[:])
}
