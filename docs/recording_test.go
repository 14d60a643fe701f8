// Package docs_test checks the code on the pages of this folder.
package docs_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"

	datastorage "kubernaut.ai/services/datastorage/app"
)

var write = flag.Bool("write", false, "write the files that docs/recording.md shows, and the table of docs/security.md")

const page = "recording.md"

// block matches a block of code, with the comment before it that names its file.
var block = regexp.MustCompile("(?ms)(?:^<!-- file: (\\S+) -->\n)?^```(\\w*)\n(.*?)^```$")

// shown are the files that the page shows: name, from the repository's root, and content.
func shown(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, match := range block.FindAllStringSubmatch(string(text), -1) {
		file, language, content := match[1], match[2], match[3]
		switch {
		case file != "" && files[file] != "":
			t.Errorf("%s is shown twice", file)
		case file != "":
			files[file] = content
		case language != "" && language != "mermaid":
			t.Errorf("a block of %s belongs to no file:\n%s", language, content)
		}
	}
	return files
}

// The page is the source of the examples.
func TestExamplesAreWhatThePageShows(t *testing.T) {
	files := shown(t)
	if len(files) == 0 {
		t.Fatal("the page shows no file")
	}
	for file, want := range files {
		path := filepath.Join("..", file)
		if *write {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s differs from %s (%v): change the page, and run `make examples`", file, page, err)
		}
	}
}

// What is in the folders of the examples is on the page, but for module files.
func TestThePageShowsEveryExample(t *testing.T) {
	files := shown(t)
	for _, pattern := range []string{"../examples/*/*", "../examples/*/*/*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			file := filepath.ToSlash(strings.TrimPrefix(path, "../"))
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			base := filepath.Base(file)
			if _, ok := files[file]; !ok && !info.IsDir() && base != "go.mod" && base != "go.sum" {
				t.Errorf("%s is not on %s", file, page)
			}
		}
	}
}

// The replace lines are those of the example's module.
func TestReplaceLinesAreThoseOfTheModule(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile("../examples/operator/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile("(?s)```\n(replace \\(.*?\\)\n)```").FindSubmatch(text)
	if lines == nil || !bytes.Contains(module, lines[1]) {
		t.Errorf("go.mod of the example has other replace lines than %q", lines)
	}
}

// The manifest has no unknown field, and what the page's table promises.
func TestManifestIsValid(t *testing.T) {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	var namespace *corev1.Namespace
	var workload *appsv1.StatefulSet
	for document := range strings.SplitSeq(shown(t)["examples/operator/deploy/operator.yaml"], "\n---\n") {
		object, _, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Errorf("%v in\n%s", err, document)
			continue
		}
		switch object := object.(type) {
		case *corev1.Namespace:
			namespace = object
		case *appsv1.StatefulSet:
			workload = object
		}
	}
	if namespace == nil || namespace.Labels["kubernaut.ai/audit-client"] != "true" {
		t.Error("the namespace may not call DataStorage")
	}
	if workload == nil || !slices.ContainsFunc(workload.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Projected != nil && v.Projected.Sources[0].ServiceAccountToken.Audience == "kubernaut-datastorage"
	}) {
		t.Error("the workload has no token for DataStorage")
	}
	program, err := os.ReadFile("../examples/operator/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, argument := range workload.Spec.Template.Spec.Containers[0].Args {
		name, _, _ := strings.Cut(strings.TrimPrefix(argument, "--"), "=")
		if !bytes.Contains(program, []byte(`"`+name+`"`)) {
			t.Errorf("the operator has no flag --%s", name)
		}
	}
}

// The units start DataStorage with flags that it has.
func TestUnitsUseKnownFlags(t *testing.T) {
	var serve datastorage.Options
	var migrate datastorage.MigrateFlags
	var maintain datastorage.MaintainOptions
	known := map[string]*pflag.FlagSet{}
	for command, add := range map[string]func(*pflag.FlagSet){"serve": serve.AddFlags, "migrate": migrate.AddTo, "maintain": maintain.AddFlags} {
		known[command] = pflag.NewFlagSet(command, pflag.ContinueOnError)
		add(known[command])
	}
	for file, command := range map[string]string{
		"examples/datastorage/datastorage.service":          "serve",
		"examples/datastorage/datastorage-migrate.service":  "migrate",
		"examples/datastorage/datastorage-maintain.service": "maintain",
	} {
		unit := strings.ReplaceAll(shown(t)[file], "\\\n", "")
		start := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/datastorage (\w+) ?(.*)$`).FindStringSubmatch(unit)
		if start == nil || start[1] != command {
			t.Errorf("%s does not start datastorage %s:\n%s", file, command, unit)
			continue
		}
		arguments := strings.TrimPrefix(start[2], "up ")
		if err := known[command].Parse(strings.Fields(arguments)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if !strings.Contains(unit, "EnvironmentFile=") || known[command].Lookup("database-url") == nil {
			t.Errorf("%s does not name the database", file)
		}
	}
}
