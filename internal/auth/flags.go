package auth

import (
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/kube"
)

// The modes of --auth.
const (
	ModeNone       = "none"
	ModeTokenFile  = "token-file"
	ModeKubernetes = "kubernetes"
)

// Flags are the authentication flags of a service.
type Flags struct {
	Mode          string
	File          string
	AllowInsecure bool
	// Audiences and Namespace are for ModeKubernetes. Tokens must be for one of
	// the audiences, the service's own where there is none; permissions are
	// those in the namespace, the pod's own where it is empty.
	Audiences []string
	Namespace string
}

// Server is what a gate needs to know of the server that it stands before.
type Server struct {
	// Flag is the name of the flag with the server's address.
	Flag, Address string
	// Audience is the service's own: tokens must be for it unless flags say otherwise.
	Audience string
	// Config finds the API server; it is called for ModeKubernetes only.
	Config func() (*rest.Config, error)
	// Namespaced is for a service whose callers need permissions in the namespaces
	// that their requests are about, instead of one namespace.
	Namespaced bool
	// Clock and Log are required.
	Clock clock.PassiveClock
	Log   *zap.Logger
}

// Declare declares --auth and the flags that belong to its modes, except for
// --auth-namespace. The token file is a path, not a secret. The audience is the
// service's own.
func (f *Flags) Declare(flags *cli.Flags, audience string) {
	flags.String(&f.Mode, "auth", ModeNone, "authentication mode: none (loopback only), token-file, or kubernetes (service account tokens)",
		cli.OneOf(ModeNone, ModeTokenFile, ModeKubernetes))
	flags.String(&f.File, "auth-token-file", "", "for --auth token-file: file with lines of a caller's name, its token's SHA-256 in hex, and what it may do")
	flags.Bool(&f.AllowInsecure, "auth-none-beyond-loopback", false, "allow --auth none on an address that is not loopback")
	flags.Strings(&f.Audiences, "auth-audience", "for --auth kubernetes: accepted audience of tokens, may be repeated; none: "+audience)
}

// DeclareNamespace declares --auth-namespace, of services that are not Namespaced.
func (f *Flags) DeclareNamespace(flags *cli.Flags) {
	flags.String(&f.Namespace, "auth-namespace", "", "for --auth kubernetes: namespace in which callers need permissions; none: the pod's")
}

// NewGate makes the gate of a server. Unusable flags are a cli.UsageError.
func (f *Flags) NewGate(s Server) (*Gate, error) {
	guard, err := f.guard(&s)
	if err != nil {
		return nil, err
	}
	return NewGate(guard, s.Log, WithClock(s.Clock)), nil
}

func (f *Flags) guard(s *Server) (Guard, error) {
	loopback, err := httpserver.ParseAddress(s.Flag, s.Address)
	if err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	if err := f.checkMode(); err != nil {
		return nil, err
	}
	switch f.Mode {
	case ModeTokenFile:
		if f.File == "" {
			return nil, cli.Usagef("--auth token-file needs --auth-token-file FILE")
		}
		use := UseRights
		if s.Namespaced {
			use = UseNamespaces
		}
		a, err := NewTokenFile(TokenFileOptions{Path: f.File, Use: use, Clock: s.Clock, Log: s.Log})
		if err != nil {
			return nil, &cli.UsageError{Err: err}
		}
		return a, nil
	case ModeKubernetes:
		return f.kubernetes(s)
	default:
		if !loopback && !f.AllowInsecure {
			return nil, cli.Usagef("--auth none with --%s %s would let everybody in: listen on 127.0.0.1, use --auth kubernetes or token-file, or say --auth-none-beyond-loopback", s.Flag, s.Address)
		}
		return None{}, nil
	}
}

// checkMode refuses an unknown mode, and flags of another mode than the chosen
// one: whoever gives one means that mode.
func (f *Flags) checkMode() error {
	if !slices.Contains([]string{ModeNone, ModeTokenFile, ModeKubernetes}, f.Mode) {
		return cli.Usagef("--auth %q: want none, token-file or kubernetes", f.Mode)
	}
	for _, flag := range []struct {
		name, mode string
		given      bool
	}{
		{"auth-token-file", ModeTokenFile, f.File != ""},
		{"auth-audience", ModeKubernetes, len(f.Audiences) > 0},
		{"auth-namespace", ModeKubernetes, f.Namespace != ""},
	} {
		if flag.given && f.Mode != flag.mode {
			return cli.Usagef("--%s is given but --auth is %s: use --auth %s", flag.name, f.Mode, flag.mode)
		}
	}
	return nil
}

func (f *Flags) kubernetes(s *Server) (Guard, error) {
	if slices.ContainsFunc(f.Audiences, func(audience string) bool { return strings.TrimSpace(audience) != audience || audience == "" }) {
		return nil, cli.Usagef("--auth-audience %q: an audience is not empty and has no space around it", f.Audiences)
	}
	namespace, err := f.namespace(s.Namespaced)
	if err != nil {
		return nil, err
	}
	config, err := s.Config()
	if err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	audiences := f.Audiences
	if len(audiences) == 0 {
		audiences = []string{s.Audience}
	}
	guard, err := NewKubernetes(config, KubernetesOptions{Audiences: audiences, Namespace: namespace, Clock: s.Clock, Log: s.Log})
	if err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	return guard, nil
}

// namespace is where callers need permissions; empty for a Namespaced server.
func (f *Flags) namespace(namespaced bool) (string, error) {
	if namespaced {
		if f.Namespace != "" {
			return "", cli.Usagef("--auth-namespace: callers of this service need permissions in the namespaces that they report on")
		}
		return "", nil
	}
	namespace := f.Namespace
	if namespace == "" {
		own, err := kube.PodNamespace(kube.PodNamespaceFile)
		if err != nil {
			return "", cli.Usagef("--auth kubernetes needs --auth-namespace outside of a pod: %w", err)
		}
		namespace = own
	}
	if err := kube.CheckNamespace(namespace); err != nil {
		return "", cli.Usagef("--auth-namespace %q: %w", namespace, err)
	}
	return namespace, nil
}
