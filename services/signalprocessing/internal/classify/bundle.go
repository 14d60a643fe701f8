package classify

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// OriginBuiltIn is the origin of the policies that the program carries.
const OriginBuiltIn = "built-in"

// maxBundleBytes bounds what is read of a bundle.
const maxBundleBytes = 4 << 20

//go:embed policies/*.rego
var builtIn embed.FS

// Bundle is a set of Rego modules and its identity.
type Bundle struct {
	// Origin says where the bundle came from.
	Origin string
	// SHA256 is the hex digest over the names and contents of the modules, tests left out.
	SHA256 string
	// Modules are the sources by file name.
	Modules map[string]string
}

// BuiltIn returns the policies that the program carries.
func BuiltIn() (Bundle, error) {
	return LoadBundle(builtIn, "policies", OriginBuiltIn)
}

// LoadBundle reads the .rego files of a folder of fsys; files that end in
// _test.rego are the policies' tests and no part of the bundle.
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

// digest hashes names and contents in the order of the names, each behind its
// length, so that no two sets of modules share a digest.
func digest(modules map[string]string) string {
	hash := sha256.New()
	var length [8]byte
	add := func(text string) {
		binary.BigEndian.PutUint64(length[:], uint64(len(text)))
		hash.Write(length[:])
		hash.Write([]byte(text))
	}
	for _, name := range sortedNames(modules) {
		add(name)
		add(modules[name])
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func sortedNames(modules map[string]string) []string {
	names := make([]string, 0, len(modules))
	for name := range modules {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
