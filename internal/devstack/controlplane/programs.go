package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/tools/setup-envtest/remote"
	"sigs.k8s.io/controller-runtime/tools/setup-envtest/store"
	"sigs.k8s.io/controller-runtime/tools/setup-envtest/versions"

	"kubernaut.ai/internal/devstack/progress"
)

// assetsVariable is the name that controller-runtime's users know.
const assetsVariable = "KUBEBUILDER_ASSETS"

const etcdName = "etcd"

const (
	// minMinor is the oldest 1.x whose API has all that the resources use
	// (selectable fields).
	minMinor = 32
	// indexPatience bounds the question whether a download is possible at all.
	indexPatience    = 5 * time.Second
	downloadPatience = 5 * time.Minute
)

// Programs are the paths of what a control plane is made of.
type Programs struct {
	APIServer, Etcd string
	// Kubectl is empty where it did not come with the others.
	Kubectl string
	// Origin is a short description of where they come from.
	Origin string
}

// Find finds, downloads or compiles the programs. A first compilation takes
// minutes; the context can end it.
func Find(ctx context.Context, report progress.Func) (Programs, error) {
	return choose(ctx, []source{
		{"the folder that " + assetsVariable + " names", fromEnvironment},
		{"the store of setup-envtest", fromStore},
		{"the cache of compiled programs", fromCache},
		{"a download by setup-envtest", func(ctx context.Context) (Programs, error) { return fromDownload(ctx, report) }},
		{"compilation from the Go modules", func(ctx context.Context) (Programs, error) { return compileServers(ctx, report) }},
	})
}

// source is one way to get the programs. It returns an unavailable error if the
// machine lacks what it needs; any other error is final.
type source struct {
	name string
	find func(context.Context) (Programs, error)
}

// unavailable is the reason why a source cannot be used here.
type unavailable string

func (u unavailable) Error() string { return string(u) }

func unavailablef(format string, args ...any) error { return unavailable(fmt.Sprintf(format, args...)) }

func choose(ctx context.Context, sources []source) (Programs, error) {
	var tried strings.Builder
	for _, s := range sources {
		found, err := s.find(ctx)
		if err == nil {
			return found, nil
		}
		if _, ok := errors.AsType[unavailable](err); !ok {
			return Programs{}, fmt.Errorf("use %s for the control plane: %w", s.name, err)
		}
		if err := ctx.Err(); err != nil {
			return Programs{}, fmt.Errorf("find kube-apiserver and etcd: %w", err)
		}
		fmt.Fprintf(&tried, "\n  %s: %v", s.name, err)
	}
	return Programs{}, fmt.Errorf("no kube-apiserver and etcd: install Go, or set %s to a folder that has both; tried:%s",
		assetsVariable, tried.String())
}

// programsIn looks for the programs in one folder.
func programsIn(dir, origin string) (Programs, error) {
	p := Programs{
		APIServer: filepath.Join(dir, "kube-apiserver"), Etcd: filepath.Join(dir, etcdName),
		Kubectl: filepath.Join(dir, "kubectl"), Origin: origin,
	}
	for _, path := range []string{p.APIServer, p.Etcd} {
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return Programs{}, unavailablef("%s has no %s", dir, filepath.Base(path))
		}
	}
	if _, err := os.Stat(p.Kubectl); err != nil {
		p.Kubectl = ""
	}
	return p, nil
}

// fromEnvironment fails for good when the folder is not what it should be: who
// named it wants it to be used.
func fromEnvironment(context.Context) (Programs, error) {
	dir := os.Getenv(assetsVariable)
	if dir == "" {
		return Programs{}, unavailable("not set")
	}
	p, err := programsIn(dir, assetsVariable)
	if err != nil {
		return Programs{}, errors.New(err.Error())
	}
	return p, nil
}

// fromStore uses the newest version in setup-envtest's store.
func fromStore(ctx context.Context) (Programs, error) {
	dir, err := store.DefaultStoreDir()
	if err != nil {
		return Programs{}, unavailable(err.Error())
	}
	// A store makes its folder when it is asked: look first.
	if _, err := os.Stat(filepath.Join(dir, "k8s")); err != nil {
		return Programs{}, unavailablef("nothing in %s", dir)
	}
	ctx = logr.NewContext(ctx, logr.Discard()) // a store asks its context for a logger
	kept := store.NewAt(dir)
	items, err := kept.List(ctx, store.Filter{Version: versions.AnyVersion, Platform: platform()})
	if err != nil {
		return Programs{}, unavailable(err.Error())
	}
	for _, item := range items { // newest first
		if item.Version.Compare(versions.Concrete{Major: 1, Minor: minMinor}) < 0 {
			continue
		}
		path, err := kept.Path(item)
		if err != nil {
			return Programs{}, fmt.Errorf("find %s: %w", item, err)
		}
		if p, err := programsIn(path, "setup-envtest "+item.Version.String()); err == nil {
			return p, nil
		}
	}
	return Programs{}, unavailablef("no version 1.%d or later in %s", minMinor, dir)
}

// fromDownload adds the newest version that can be downloaded to setup-envtest's store.
func fromDownload(ctx context.Context, report progress.Func) (Programs, error) {
	client := &remote.HTTPClient{Log: logr.Discard(), IndexURL: remote.DefaultIndexURL}
	item, available, err := newestDownload(ctx, client)
	if err != nil {
		return Programs{}, err
	}
	dir, err := store.DefaultStoreDir()
	if err != nil {
		return Programs{}, unavailable(err.Error())
	}
	ctx = logr.NewContext(ctx, logr.Discard()) // a store asks its context for a logger
	kept := store.NewAt(dir)
	if err := kept.Initialize(ctx); err != nil {
		return Programs{}, unavailable(err.Error())
	}
	end := report.During("downloading kube-apiserver and etcd "+item.Version.String(), nil)
	defer end()
	ctx, cancel := context.WithTimeout(ctx, downloadPatience)
	defer cancel()
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(client.GetVersion(ctx, item.Version, available, writer)) }()
	err = kept.Add(ctx, item, reader)
	_ = reader.Close() // ends the download where the store refused it
	if err != nil {
		return Programs{}, unavailable(err.Error())
	}
	return fromStore(ctx)
}

func newestDownload(ctx context.Context, client *remote.HTTPClient) (store.Item, versions.PlatformItem, error) {
	ctx, cancel := context.WithTimeout(ctx, indexPatience)
	defer cancel()
	sets, err := client.ListVersions(ctx)
	if err != nil {
		return store.Item{}, versions.PlatformItem{}, unavailable(err.Error())
	}
	var newest store.Item
	var available versions.PlatformItem
	for _, set := range sets {
		for _, p := range set.Platforms {
			if p.Platform == platform() && set.Version.Compare(newest.Version) > 0 {
				newest, available = store.Item{Version: set.Version, Platform: p.Platform}, p
			}
		}
	}
	if newest.Version.Compare(versions.Concrete{Major: 1, Minor: minMinor}) < 0 {
		return store.Item{}, versions.PlatformItem{}, unavailablef("no version 1.%d or later for %s/%s",
			minMinor, runtime.GOOS, runtime.GOARCH)
	}
	return newest, available, nil
}

func platform() versions.Platform {
	return versions.Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
}
