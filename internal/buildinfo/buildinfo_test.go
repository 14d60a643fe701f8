package buildinfo //nolint:testpackage // the linker's variables are not exported

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	recorded := func(version, revision string) *debug.BuildInfo {
		return &debug.BuildInfo{
			Main:     debug.Module{Version: version},
			Settings: []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: revision}},
		}
	}
	for name, test := range map[string]struct {
		version, revision string
		recorded          *debug.BuildInfo
		want              Info
	}{
		"nothing is known":        {want: Info{Version: "devel", Revision: "unknown"}},
		"built in a work tree":    {recorded: recorded("(devel)", ""), want: Info{Version: "devel", Revision: "unknown"}},
		"installed as a module":   {recorded: recorded("v1.2.3", ""), want: Info{Version: "v1.2.3", Revision: "unknown"}},
		"built with a stamp":      {recorded: recorded("(devel)", "0123abcd"), want: Info{Version: "devel", Revision: "0123abcd"}},
		"the linker's words win":  {"v2.0.0", "4567", recorded("v1.2.3", "0123abcd"), Info{Version: "v2.0.0", Revision: "4567"}},
		"only the linker's words": {"v2.0.0", "4567", nil, Info{Version: "v2.0.0", Revision: "4567"}},
	} {
		test.want.GoVersion = runtime.Version()
		if got := describe(test.version, test.revision, test.recorded); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestTheVersionIsShown(t *testing.T) {
	t.Parallel()
	info := Info{Version: "v1.2.3", Revision: "0123abcd", GoVersion: "go1.26.8"}
	if got := info.String(); got != "v1.2.3 (revision 0123abcd, go1.26.8)" {
		t.Errorf("for people: %s", got)
	}
	if got := UserAgent("kubernaut-gateway"); got != "kubernaut-gateway/"+Get().Version {
		t.Errorf("user agent %s", got)
	}
	want := `
		# HELP kubernaut_build_info The version, revision and Go version of the running program; always 1.
		# TYPE kubernaut_build_info gauge
		kubernaut_build_info{goversion="` + Get().GoVersion + `",revision="` + Get().Revision + `",version="` + Get().Version + `"} 1
	`
	if err := testutil.CollectAndCompare(Collector(), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
