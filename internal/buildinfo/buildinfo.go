// Package buildinfo tells which version of the platform a program is.
package buildinfo

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Set by the linker:
//
//	-ldflags "-X kubernaut.ai/internal/buildinfo.version=v1.2.3 -X kubernaut.ai/internal/buildinfo.revision=0123abcd"
var version, revision string

const (
	development = "devel"   // a version that nobody named
	unknown     = "unknown" // a revision likewise
)

// Info describes the running program.
type Info struct {
	// Version as in v1.2.3, or "devel".
	Version string
	// Revision is the commit, or "unknown".
	Revision string
	// GoVersion is the version of Go that built the program.
	GoVersion string
}

// Get returns what the linker was given, else what the Go toolchain recorded.
func Get() Info {
	recorded, _ := debug.ReadBuildInfo()
	return describe(version, revision, recorded)
}

func describe(version, revision string, recorded *debug.BuildInfo) Info {
	info := Info{Version: version, Revision: revision, GoVersion: runtime.Version()}
	if recorded != nil && info.Version == "" && recorded.Main.Version != "(devel)" {
		info.Version = recorded.Main.Version
	}
	if recorded != nil && info.Revision == "" {
		for _, s := range recorded.Settings {
			if s.Key == "vcs.revision" {
				info.Revision = s.Value
			}
		}
	}
	if info.Version == "" {
		info.Version = development
	}
	if info.Revision == "" {
		info.Revision = unknown
	}
	return info
}

// String is one line for people.
func (i Info) String() string {
	return fmt.Sprintf("%s (revision %s, %s)", i.Version, i.Revision, i.GoVersion)
}

// UserAgent is what a program calls itself in HTTP requests, as in kubernaut-gateway/v1.2.3.
func UserAgent(program string) string { return program + "/" + Get().Version }

// Collector returns the gauge kubernaut_build_info{version,revision,goversion}, which is always 1.
func Collector() prometheus.Collector {
	info := Get()
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubernaut_build_info",
		Help: "The version, revision and Go version of the running program; always 1.",
		ConstLabels: prometheus.Labels{
			"version": info.Version, "revision": info.Revision, "goversion": info.GoVersion,
		},
	}, func() float64 { return 1 })
}
