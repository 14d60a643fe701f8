package controlplane

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"kubernaut.ai/api/crds"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk is full")
	for name, test := range map[string]struct {
		answers []error // nil: this source has the programs
		asked   []string
		want    []string // parts of the error
	}{
		"the first that is available": {
			answers: []error{unavailable("not set"), nil, nil},
			asked:   []string{"a", "b"},
		},
		"a failure of an available one is final": {
			answers: []error{broken, nil},
			asked:   []string{"a"},
			want:    []string{"use a", "disk is full"},
		},
		"none": {
			answers: []error{unavailable("not set"), unavailable("no go command")},
			asked:   []string{"a", "b"},
			want:    []string{"KUBEBUILDER_ASSETS", "a: not set", "b: no go command"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			sources := make([]source, 0, len(test.answers))
			for i, answer := range test.answers {
				name := string(rune('a' + i))
				sources = append(sources, source{name, func(context.Context) (Programs, error) {
					asked = append(asked, name)
					return Programs{Origin: name}, answer
				}})
			}
			got, err := choose(t.Context(), sources)
			if !slices.Equal(asked, test.asked) {
				t.Errorf("asked %q, want %q", asked, test.asked)
			}
			if len(test.want) == 0 && (err != nil || got.Origin != asked[len(asked)-1]) {
				t.Fatalf("got %v, %v", got, err)
			}
			for _, part := range test.want {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("error %v does not say %q", err, part)
				}
			}
		})
	}
}

func TestAFolderThatSomebodyNamedMustHaveThePrograms(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(assetsVariable, dir)
	_, err := fromEnvironment(t.Context())
	if _, ok := errors.AsType[unavailable](err); err == nil || ok {
		t.Errorf("got %v, want a final error", err)
	}
	for _, name := range []string{"kube-apiserver", "etcd"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := fromEnvironment(t.Context())
	if err != nil || p.APIServer == "" || p.Etcd == "" || p.Kubectl != "" {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestStoreOfSetupEnvtest(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	if _, err := fromStore(t.Context()); err == nil {
		t.Error("found programs in an empty store")
	}
	root := filepath.Join(os.Getenv("XDG_DATA_HOME"), "kubebuilder-envtest", "k8s")
	if platform().OS != "linux" {
		return // the store is elsewhere
	}
	for _, version := range []string{"1.31.4", "1.36.1", "1.9.0"} {
		dir := filepath.Join(root, version+"-"+platform().OS+"-"+platform().Arch)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"kube-apiserver", "etcd", "kubectl"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	p, err := fromStore(t.Context())
	if err != nil || !strings.Contains(p.APIServer, "1.36.1") {
		t.Errorf("got %+v, %v; want the newest", p, err)
	}
}

func TestWrapperModulesPinTheVersions(t *testing.T) {
	t.Parallel()
	for _, w := range slices.Concat(serverWrappers(), controllerWrappers()) {
		want := "k8s.io/kubernetes " + KubernetesVersion
		if w.output == "etcd" {
			want = "go.etcd.io/etcd/server/v3 " + EtcdVersion
		}
		if !strings.Contains(w.mod, want) {
			t.Errorf("module of %s does not require %s", w.name, want)
		}
		if !strings.Contains(w.sum, want+" h1:") {
			t.Errorf("checksums of %s lack %s", w.name, want)
		}
	}
}

func TestVersionFlags(t *testing.T) {
	t.Parallel()
	flags := versionFlags()
	for _, want := range []string{".gitVersion=" + KubernetesVersion + " ", ".gitMajor=1 ", ".gitMinor=37 "} {
		if !strings.Contains(flags+" ", "-X k8s.io/component-base/version"+want) {
			t.Errorf("%q lacks %q", flags, want)
		}
	}
}

func TestKubeconfigIsItsOwnersAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	want := secrets{certificate: []byte("certificate"), token: "token"}.config(6443)
	grace := User{Name: "grace", Token: "hers"}
	if err := writeKubeconfig(path, want, []User{grace}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	got, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil || got.Host != want.Host || got.BearerToken != want.BearerToken || string(got.CAData) != "certificate" {
		t.Errorf("got %v, %v", got, err)
	}
	got, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(&clientcmd.ClientConfigLoadingRules{ExplicitPath: path},
		&clientcmd.ConfigOverrides{CurrentContext: grace.Name}).ClientConfig()
	if err != nil || got.Host != want.Host || got.BearerToken != grace.Token {
		t.Errorf("as %s: got %v, %v", grace.Name, got, err)
	}
}

func TestResourceDefinitionsCanBeRead(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(crds.FS, "*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no definitions: %v", err)
	}
	definitions, err := resources()
	if err != nil || len(definitions) != len(files) {
		t.Errorf("read %d of %d: %v", len(definitions), len(files), err)
	}
}
