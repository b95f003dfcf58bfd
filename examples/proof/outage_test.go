package proof_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
	"github.com/auditing-go/auditing/stores/spool"
)

func incompressible(n int) string {
	data := make([]byte, n*3/4)
	rand.Read(data)
	return base64.StdEncoding.EncodeToString(data)
}

// outage is something that happens to a server under load.
type outage struct {
	name       string
	begin, end func(t *testing.T, o *outraged)
	// brief says that it is over before anybody needs to notice.
	brief bool
	// reason is part of what the store says during the outage.
	reason string
}

// outraged is the server and the database that an outage happens to.
type outraged struct {
	server *pgtest.Server
	dsn    string
	load   *load
	disk   *disk // that its tables are on; nil for the server's
}

var outages = []outage{
	stopped(pgtest.Fast), stopped(pgtest.Immediate), stopped(pgtest.Kill),
	{name: "restarted", brief: true, begin: func(t *testing.T, o *outraged) {
		o.server.Stop(pgtest.Fast)
		o.server.Restart()
	}},
	{name: "connections ended", brief: true, begin: func(t *testing.T, o *outraged) {
		admin := connect(t, o.server.DSN())
		for range 20 {
			before := o.load.attempts()
			execute(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
			eventually(t, "more audits", func() bool { return o.load.attempts() > before+workers })
		}
	}},
	{name: "read-only", reason: "read-only transaction", begin: func(t *testing.T, o *outraged) {
		setReadOnly(t, o, "on")
	}, end: func(t *testing.T, o *outraged) {
		setReadOnly(t, o, "off")
	}},
	{name: "disk full", reason: "No space left", begin: func(t *testing.T, o *outraged) {
		o.disk.fill(t)
	}, end: func(t *testing.T, o *outraged) {
		o.disk.free(t)
	}},
}

func stopped(how pgtest.Shutdown) outage {
	return outage{
		name:  "stopped " + how.String(),
		begin: func(t *testing.T, o *outraged) { o.server.Stop(how) },
		end:   func(t *testing.T, o *outraged) { o.server.Restart() },
	}
}

func setReadOnly(t *testing.T, o *outraged, value string) {
	t.Helper()
	admin := connect(t, o.server.DSN())
	execute(t, admin, "SET default_transaction_read_only = off")
	execute(t, admin, "ALTER SYSTEM SET default_transaction_read_only = "+value)
	execute(t, admin, "SELECT pg_reload_conf()")
}

// TestOutage: while its database is away, an application with a spool goes on as if
// nothing were; one without gets an error that is true for each audit, in time.
func TestOutage(t *testing.T) {
	server := pgtest.Start(t)
	for i, out := range outages {
		t.Run(out.name, func(t *testing.T) {
			for _, spooled := range []bool{true, false} {
				name := map[bool]string{true: "with the spool", false: "without"}[spooled]
				t.Run(name, func(t *testing.T) {
					o := &outraged{server: server}
					database := fmt.Sprintf("outage_%d_%v", i, spooled)
					on := ""
					if out.name == "disk full" {
						o.disk = newDisk(t, server, 64<<20)
						on = " TABLESPACE " + o.disk.name
					}
					admin := connect(t, server.DSN())
					execute(t, admin, "CREATE DATABASE "+database+on)
					admin.Close(t.Context())
					o.dsn = server.DSN() + " dbname=" + database
					out.happen(t, o, spooled)
					if o.disk != nil {
						execute(t, connect(t, server.DSN()), "DROP DATABASE "+database+" WITH (FORCE)")
					}
				})
			}
		})
	}
}

func (out outage) happen(t *testing.T, o *outraged, spooled bool) {
	p := place{"postgres_auto", o.dsn}
	cfg := core.Config{Timeout: time.Second}
	if out.brief {
		cfg.Timeout = 0 // a restart may take more than a second
	}
	if spooled {
		p = place{"spool+postgres_auto", "dir=" + t.TempDir() + ";" + o.dsn}
		cfg.Timeout = time.Minute // the local disk may be slow
	}
	s := p.open(t)
	rec := record(t, s, cfg)
	o.load = newLoad(rec)
	defer func() {
		if o.load != nil {
			o.load.end()
		}
	}()
	o.load.each(t, 5, "audits before", true)

	out.begin(t, o)
	if !out.brief {
		eventually(t, "the outage has begun", func() bool {
			if spooled {
				why := s.(*spool.Store).Stats().Outage
				return why != nil && strings.Contains(why.Error(), out.reason)
			}
			return o.load.failures() > 0
		})
	}
	o.load.next()
	// That they end while the server stays away shows that their time is bounded.
	o.load.each(t, 3, "audits during the outage have ended", spooled)
	if out.end != nil {
		out.end(t, o)
	}
	o.load.next()
	o.load.each(t, 3, "audits after it are stored", true)
	l := o.load
	o.load = nil
	acknowledged := l.end()
	if err := rec.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if err := rec.Close(context.Background()); err != nil {
		t.Error(err)
	}

	stored := p.stored(t, "")
	check(t, l.attempted, acknowledged, stored)
	if spooled || out.brief {
		for key, err := range l.failed {
			t.Errorf("%s failed: %v", key, err)
		}
	}
	l.checkErrors(t, stored)
	t.Logf("%d audits, %d errors", len(l.attempted), len(l.failed))
}
