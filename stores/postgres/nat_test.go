package postgres_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
	"github.com/auditing-go/auditing/stores/postgres/pgtest"
)

// nat forgets connections: what is sent on them goes nowhere and nothing says so.
type nat struct {
	net.Listener
	mu    sync.Mutex
	conns []chan struct{}
}

func behindNAT(t *testing.T, dsn string) (*nat, string) {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &nat{Listener: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", fmt.Sprint(cfg.Host, ":", cfg.Port))
			if err != nil {
				client.Close()
				continue
			}
			forgotten := make(chan struct{})
			n.mu.Lock()
			n.conns = append(n.conns, forgotten)
			n.mu.Unlock()
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				wg.Go(func() {
					buf := make([]byte, 1<<16)
					for {
						size, err := way[0].Read(buf)
						if err != nil {
							way[1].Close()
							return
						}
						select {
						case <-forgotten:
						default:
							_, _ = way[1].Write(buf[:size])
						}
					}
				})
			}
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return n, withParams(dsn, "host=127.0.0.1 port="+strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

func (n *nat) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		close(c)
	}
	n.conns = nil
}

// TestAConnectionThatTheNetworkForgot costs an audit or a reader the time of a probe.
func TestAConnectionThatTheNetworkForgot(t *testing.T) {
	postgres.IdleAtOnce(t)
	n, dsn := behindNAT(t, pgtest.DSN(t))
	rec := record(t, open(t, dsn, postgres.Config{}))
	for i := range 3 {
		if err := rec.Audit(t.Context(), "ev", core.Fields{"n": i}, core.As("me"), core.Within(3*time.Second)); err != nil {
			t.Fatalf("audit %d: %v", i, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		page, err := rec.Read(ctx, core.Query{Tag: "ev"})
		cancel()
		if err != nil || len(page.Events) != i+1 {
			t.Fatalf("reading %d: %d events, %v", i, len(page.Events), err)
		}
		if i < 2 { // closing one that was forgotten takes its time
			n.forget()
		}
	}
}
