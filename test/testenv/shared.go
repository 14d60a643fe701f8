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
	datastorage "kubernaut.ai/services/datastorage/app"
)

// databasePrefix begins the names of the databases that are made on a server,
// which may be somebody's (DATABASE_URL).
const databasePrefix = "kubernaut_test_"

// Options of Start.
type Options struct {
	// Progress is told about everything that takes long.
	Progress progress.Func
	// Log gets what DataStorage logs; a nil one discards everything.
	Log *zap.Logger
}

// Shared is what all processes of a suite share.
type Shared struct {
	PostgreSQL   *postgres.Server
	ControlPlane *controlplane.ControlPlane
	DataStorage  *DataStorage

	template string
}

// addresses is what the other processes need of a Shared.
type addresses struct {
	PostgreSQL            string `json:"postgresql"`
	Template              string `json:"template"`
	Kubeconfig            string `json:"kubeconfig"`
	DataStorage           string `json:"datastorage"`
	DataStorageManagement string `json:"datastorage_management"`
}

// Start provides PostgreSQL and a control plane, see the packages of
// kubernaut.ai/pkg/local, and starts DataStorage in this process. The caller
// stops it.
func Start(ctx context.Context, o Options) (*Shared, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	s := &Shared{}
	if err := s.start(ctx, &o); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	return s, nil
}

// Encode is for Join.
func (s *Shared) Encode() ([]byte, error) {
	encoded, err := json.Marshal(addresses{
		PostgreSQL: s.PostgreSQL.URL(), Template: s.template, Kubeconfig: s.ControlPlane.Kubeconfig(),
		DataStorage: s.DataStorage.URL, DataStorageManagement: s.DataStorage.ManagementURL,
	})
	if err != nil {
		return nil, fmt.Errorf("encode addresses: %w", err)
	}
	return encoded, nil
}

// Stop ends everything in order, also what a failed Start left, and also when
// ctx has ended: an interrupted suite has 30 s for it. The processes that
// joined must have closed their Envs.
func (s *Shared) Stop(ctx context.Context) error {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var errs []error
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
	if s.ControlPlane, err = controlplane.Start(ctx, controlplane.Options{Progress: o.Progress, DialPods: dialPod}); err != nil {
		return fmt.Errorf("start control plane: %w", err)
	}
	// Nobody may be connected to a template: DataStorage gets a copy, like
	// every suite that owns its database.
	template := databasePrefix + "template_" + random()
	url, err := s.PostgreSQL.CreateDatabase(ctx, template, "")
	if err != nil {
		return fmt.Errorf("make template database: %w", err)
	}
	s.template = template
	if _, err := datastorage.Migrate(ctx, url, time.Now()); err != nil {
		return fmt.Errorf("make schema: %w", err)
	}
	s.DataStorage, err = startDataStorage(ctx, s.PostgreSQL, template, o.Log, nil)
	return err
}
