package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores"
	_ "github.com/auditing-go/auditing/stores/esstore"
	_ "github.com/auditing-go/auditing/stores/postgres"
	_ "github.com/auditing-go/auditing/stores/spool"
	_ "github.com/auditing-go/auditing/stores/sqlite"
)

const (
	// openTime and closeTime bound what opening and closing a store may take.
	openTime  = 30 * time.Second
	closeTime = 10 * time.Second
)

// open opens the store without making anything that is not there. Its warnings go to logger.
func (a *app) open(ctx context.Context, logger *slog.Logger) (core.Store, error) {
	return a.openAs(ctx, logger, strings.Replace(a.driver, "postgres_auto", "postgres", 1))
}

// openAs opens the store with a driver, and makes no database.
func (a *app) openAs(ctx context.Context, logger *slog.Logger, driver string) (core.Store, error) {
	slog.SetDefault(logger)
	dsn, param := a.dsn, ""
	switch driver {
	case "sqlite":
		param = "mode=rw"
	case "elasticsearch", "opensearch":
		param = "template=false"
	}
	if name, _, _ := strings.Cut(param, "="); param != "" && !strings.Contains(dsn, name+"=") {
		separator := "?"
		if strings.Contains(dsn, "?") {
			separator = "&"
		}
		dsn += separator + param
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	return stores.Open(ctx, driver, dsn)
}

// warnings logs to standard error as people read it.
func (a *app) warnings() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// readFlags are those of all that read the trail.
func (a *app) readFlags(set *flag.FlagSet) {
	set.StringVar(&a.by, "by", "", "`who` reads, by default the user of the operating system")
	set.BoolVar(&a.unaudited, "unaudited", false, "do not audit that the trail is read")
}

// reading is one look at the trail, which is audited.
type reading struct {
	*core.Recorder
	app  *app
	by   string
	view string
	run  string // tells the events of this look from others
	at   time.Time
	q    core.Query
}

// begin opens the store and audits that it is about to be read. What is audited from then on,
// and that itself, is newer than the time of the reading.
func (a *app) begin(ctx context.Context, view string, q core.Query) (*reading, error) {
	r := &reading{app: a, by: a.by, view: view, run: uuid.NewString(), q: q}
	if r.by == "" {
		u, err := user.Current()
		if err != nil || u.Username == "" {
			return nil, a.usage("who reads is not known: say -by")
		}
		r.by = u.Username
	}
	store, err := a.open(ctx, a.warnings())
	if err != nil {
		return nil, err
	}
	r.Recorder, err = core.New(store, core.Config{Service: "audit", RequireUser: true})
	if err != nil {
		return nil, err
	}
	r.at = time.Now().UTC().Truncate(time.Microsecond)
	if err := r.audit(ctx, "begin", nil); err != nil {
		r.close(ctx)
		return nil, fmt.Errorf("nothing is read, because that could not be audited (give the role INSERT, or read with -unaudited): %w", err)
	}
	return r, nil
}

// end audits what was read, and closes the store. err is that of the reading.
func (r *reading) end(ctx context.Context, err error, found core.Fields) error {
	ctx = context.WithoutCancel(ctx)
	option := core.Succeeded()
	if err != nil {
		option = core.Result(err)
	}
	err = errors.Join(err, r.audit(ctx, "end", found, option))
	return errors.Join(err, r.close(ctx))
}

func (r *reading) audit(ctx context.Context, step string, found core.Fields, options ...core.Option) error {
	if r.app.unaudited {
		return nil
	}
	fields := core.Fields{"view": r.view, "step": step, "run": r.run, "query": r.q.Describe()}
	for name, v := range found {
		fields[name] = v
	}
	return r.Audit(ctx, core.TagRead, fields, append(options, core.As(r.by))...)
}

func (r *reading) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	return r.Close(ctx)
}

// isOwn reports whether an event is that of this look itself.
func (r *reading) isOwn(e core.Event) bool {
	return e.Tag == core.TagRead && e.Fields["run"] == r.run
}

// until is the end of what is asked for, at the latest when the reading began.
func (r *reading) until(to time.Time) time.Time {
	if to.IsZero() || to.After(r.at) {
		return r.at
	}
	return to
}

// isTerminal reports whether somebody looks at what is written to f.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && cmp.Or(os.Getenv("TERM"), "dumb") != "dumb"
}
