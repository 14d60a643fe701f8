package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/devstack/progress"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/test/auditdb"
)

// databasePrefix is the prefix of all databases that suites create. The server may
// have other users (DATABASE_URL).
const databasePrefix = "kubernaut_test_"

// Options of Start.
type Options struct {
	// Progress receives messages about everything that takes long.
	Progress progress.Func
	// Log receives DataStorage's log; nil discards it.
	Log *zap.Logger
}

// Shared is what all processes of a suite share.
type Shared struct {
	PostgreSQL   *postgres.Server
	ControlPlane *controlplane.ControlPlane
	DataStorage  *DataStorage
	// People is how people call DataStorage.
	People People

	template string
	people   *lifecycle.Running
}

// addresses is the part of a Shared that the other processes need.
type addresses struct {
	PostgreSQL            string          `json:"postgresql"`
	Template              string          `json:"template"`
	Kubeconfig            string          `json:"kubeconfig"`
	DataStorage           string          `json:"datastorage"`
	DataStorageManagement string          `json:"datastorage_management"`
	People                peopleAddresses `json:"people"`
}

// Start provides PostgreSQL and a control plane (see internal/devstack), and starts
// DataStorage in this process. The caller stops it.
func Start(ctx context.Context, o Options) (*Shared, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	silenceLibraries()
	s := &Shared{}
	if err := s.start(ctx, &o); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	return s, nil
}

// Encode returns the argument of Join.
func (s *Shared) Encode() ([]byte, error) {
	encoded, err := json.Marshal(addresses{
		PostgreSQL: s.PostgreSQL.URL(), Template: s.template, Kubeconfig: s.ControlPlane.Kubeconfig(),
		DataStorage: s.DataStorage.URL, DataStorageManagement: s.DataStorage.ManagementURL, People: s.People.addresses(),
	})
	if err != nil {
		return nil, fmt.Errorf("encode addresses: %w", err)
	}
	return encoded, nil
}

// Stop stops everything in order, including what a failed Start left. It works with
// a context that has ended: an interrupted suite has 30 s for it. The processes that
// joined must have closed their Envs.
func (s *Shared) Stop(ctx context.Context) error {
	const stopTimeout = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	var errs []error
	if s.people != nil {
		errs = append(errs, s.people.Stop())
	}
	if s.DataStorage != nil {
		errs = append(errs, s.DataStorage.Stop(ctx))
	}
	if s.ControlPlane != nil {
		errs = append(errs, s.ControlPlane.Stop(ctx))
	}
	if s.PostgreSQL != nil {
		if s.template != "" {
			errs = append(errs, s.PostgreSQL.DropDatabase(ctx, s.template))
		}
		errs = append(errs, s.PostgreSQL.Stop(ctx))
	}
	return errors.Join(errs...)
}

func (s *Shared) start(ctx context.Context, o *Options) (err error) {
	if s.PostgreSQL, err = postgres.Start(ctx, postgres.Options{Progress: o.Progress}); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	s.People.Grace = newGrace()
	if s.ControlPlane, err = controlplane.Start(ctx, controlplane.Options{
		Progress: o.Progress, DialPods: dialPod, Users: []controlplane.User{s.People.Grace},
	}); err != nil {
		return fmt.Errorf("start control plane: %w", err)
	}
	// A template must have no connections: DataStorage uses a copy, like every suite
	// that owns its database.
	template := databasePrefix + "template_" + random()
	url, err := s.PostgreSQL.CreateDatabase(ctx, template, "")
	if err != nil {
		return fmt.Errorf("make template database: %w", err)
	}
	s.template = template
	if _, err := auditdb.Migrate(ctx, url, time.Now()); err != nil {
		return fmt.Errorf("make schema: %w", err)
	}
	if s.DataStorage, err = startDataStorage(ctx, s.PostgreSQL, template, o.Log, nil); err != nil {
		return err
	}
	return s.startPeople(ctx, o.Log)
}
