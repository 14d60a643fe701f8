package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const table = "| row | senders | what happens |\n|---|---|---|\n| S1 | a | b |\n| S12 | c | d |\ntext about | S3 | in a line\n"

func report(specs ...string) string {
	var b strings.Builder
	b.WriteString("<testsuites><testsuite>")
	for _, spec := range specs {
		name, status, _ := strings.Cut(spec, "=")
		b.WriteString(`<testcase name="` + name + `" status="` + status + `"></testcase>`)
	}
	b.WriteString("</testsuite></testsuites>")
	return b.String()
}

func TestRowsWithoutAPassedSpecAreNamed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		report  string
		want    string
		missing bool
	}{
		"all": {
			report("[It] gateway field S1: holds=passed", "[It] field S12: holds=passed", "[It] field S12: again=passed"),
			"field rows 2 specs 3 rows without a spec: none\n", false,
		},
		"one is not another's beginning": {report("[It] field S12: holds=passed"), "field rows 2 specs 1 rows without a spec: S1\n", true},
		"failed and skipped specs do not count": {
			report("[It] field S1: holds=failed", "[It] field S12: holds=skipped"), "field rows 2 specs 0 rows without a spec: S1 S12\n", true,
		},
		"the colon belongs to it": {report("[It] field S1 holds=passed", "[It] field S12: holds=passed"), "field rows 2 specs 1 rows without a spec: S1\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var out strings.Builder
			err := run(&out, write(t, dir, "report.xml", test.report), write(t, dir, "table.md", table))
			if errors.Is(err, errMissing) != test.missing || (err != nil) != test.missing {
				t.Errorf("error %v", err)
			}
			if out.String() != test.want {
				t.Errorf("printed %q, want %q", out.String(), test.want)
			}
		})
	}
}

func TestTablesAreReadTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := write(t, dir, "other.md", "| C1 | a | b |\n| C2 | c | d |\n")
	var out strings.Builder
	err := run(&out, write(t, dir, "report.xml", report("[It] field S1: holds=passed", "[It] field S12: holds=passed", "[It] field C2: holds=passed")),
		write(t, dir, "table.md", table), other)
	if want := "field rows 4 specs 3 rows without a spec: C1\n"; !errors.Is(err, errMissing) || out.String() != want {
		t.Errorf("printed %q, error %v, want %q", out.String(), err, want)
	}
}

func TestUnusableInputIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, bad := write(t, dir, "table.md", table), write(t, dir, "bad", "no table, no report")
	for _, paths := range [][2]string{{good, filepath.Join(dir, "missing")}, {good, bad}, {filepath.Join(dir, "missing"), good}, {bad, good}} {
		var out strings.Builder
		if err := run(&out, paths[0], paths[1]); err == nil || errors.Is(err, errMissing) {
			t.Errorf("%v: error %v", paths, err)
		}
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
