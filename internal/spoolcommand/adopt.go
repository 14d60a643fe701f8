package spoolcommand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"kubernaut.ai/internal/auditclient"
	"kubernaut.ai/internal/auditclient/sink"
	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/control"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/pkg/audit/spool"
)

type adoptOptions struct {
	url, tokenFile, caFile string
	acknowledgements       []string
	timeout                time.Duration
	log                    *zap.Logger
	out                    io.Writer
}

func checkID(text string) error {
	if _, err := uuid.Parse(text); err != nil {
		return errors.New("want the id of a record, a UUID")
	}
	return nil
}

// closeTimeout bounds the end, when everything is stored or on disk.
const closeTimeout = 10 * time.Second

func (o *adoptOptions) adopt(ctx context.Context, dir string) error {
	if err := o.flags().Complete(); err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	// Opening a spool makes its directory: a misspelled one is not empty but wrong.
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return cli.Usagef("%s: there is no such directory", dir)
	}
	to, err := sink.New(sink.Options{
		URL: o.url, TokenFile: o.tokenFile, CAFile: o.caFile, UserAgent: buildinfo.UserAgent("kubernaut-spool"), Log: o.log,
	})
	if err != nil {
		return err //nolint:wrapcheck // names the flag
	}
	defer to.CloseIdleConnections()
	store, pending, err := o.open(dir, to)
	if err != nil {
		return err
	}
	err = o.send(ctx, store, to)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if closeErr := store.Close(closing); err == nil && closeErr != nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err := spool.Clear(dir); err != nil {
		return err //nolint:wrapcheck // names the directory
	}
	_, _ = fmt.Fprintf(o.out, "%s sent, %s is empty\n", plural(pending, "event"), dir)
	return nil
}

// open takes the spool over; it says how many events are pending.
func (o *adoptOptions) open(dir string, to *httpsink.Sink) (*audit.Store, int, error) {
	disk, err := spool.Open(dir)
	if errors.Is(err, spool.ErrInUse) {
		return nil, 0, fmt.Errorf("adopt: %w", err)
	}
	if err != nil {
		return nil, 0, cli.Usagef("adopt: %w", err)
	}
	pending := disk.State().Events
	store, err := audit.New(to, audit.WithSpool(disk), audit.WithDurability(audit.Spooled),
		audit.WithLogger(auditclient.Logger(o.log.Named("audit"))))
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("adopt %s: %w", dir, err), disk.Close())
	}
	return store, pending, nil
}

// send settles what was acknowledged, and has everything else stored.
func (o *adoptOptions) send(ctx context.Context, store *audit.Store, to *httpsink.Sink) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	for _, id := range o.acknowledgements {
		settling := control.Options{Store: store, Records: to, Log: auditclient.Logger(o.log)}
		settled, err := control.Acknowledge(ctx, settling, uuid.MustParse(id)) // checked with the flags
		if err != nil {
			return fmt.Errorf("acknowledgement %s: %w", id, err)
		}
		_, _ = fmt.Fprintf(o.out, "%s acknowledged by %s\n", plural(settled.Acknowledged, "event"), printable(settled.By))
	}
	if _, err := store.Retry(ctx); err != nil {
		return err //nolint:wrapcheck // says what it did
	}
	_, err := store.Flush(ctx)
	failure, ok := errors.AsType[*audit.FlushError](err)
	if !ok {
		return err //nolint:wrapcheck // says what it did
	}
	o.explain(failure)
	return fmt.Errorf("not everything is stored, and nothing was removed: %w", err)
}

// explain names what is not stored, and says what to do.
func (o *adoptOptions) explain(failure *audit.FlushError) {
	for i := range failure.Rejected {
		r := &failure.Rejected[i]
		_, _ = fmt.Fprintf(o.out, "rejected\t%s\t%s\t%s\t%s: %s\n", r.ID, printable(r.Type), printable(r.CorrelationID), printable(r.Code), printable(r.Reason))
	}
	for _, l := range failure.Lost {
		_, _ = fmt.Fprintf(o.out, "lost\t%s\t%s\t%s\n", l.ID, printable(l.Type), printable(l.CorrelationID))
	}
	if failure.Pending > 0 {
		_, _ = fmt.Fprintf(o.out, "%s still pending, on disk; repeat the command once DataStorage takes them: %s\n",
			plural(failure.Pending, "event"), printable(audit.SinkState(failure.SinkError)))
	}
	if len(failure.Rejected)+len(failure.Lost) > 0 {
		_, _ = fmt.Fprintln(o.out, "acknowledge them with kubernaut stores acknowledge --recorder NAME --reason TEXT ID..., and repeat the command with --acknowledgement")
	}
}
