//go:build unix

package esstore_test

import (
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// TestCluster takes about a minute for each kind: AUDITING_ELASTIC_CLUSTER asks for it.
//
// 64 callers audit on three nodes, first while the elected master is killed, then
// while another node stands still. No audit fails, and every one is there once.
func TestCluster(t *testing.T) {
	if os.Getenv("AUDITING_ELASTIC_CLUSTER") == "" {
		t.Skip("set AUDITING_ELASTIC_CLUSTER=1 to run three nodes of each kind")
	}
	for _, kind := range estest.Kinds {
		t.Run(string(kind), func(t *testing.T) { disturb(t, estest.Start(t, kind, 3)) })
	}
}

func disturb(t *testing.T, c *estest.Cluster) {
	const callers, timeout, standstill = 64, 3 * time.Minute, 15 * time.Second
	s, err := esstore.Open(t.Context(), "http://"+c.Hosts()+"/audits", esstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	settings := `{"settings":{"number_of_shards":3,"number_of_replicas":1,"index.unassigned.node_left.delayed_timeout":"0"}}`
	if status, body := estest.Do(t, http.MethodPut, c.URLs[0]+"/audits", settings); status != http.StatusOK {
		t.Fatal(body)
	}
	rec, err := core.New(s, core.Config{Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	var (
		done    atomic.Bool
		next    atomic.Int64
		stored  atomic.Int64
		longest atomic.Int64 // nanoseconds
		wg      sync.WaitGroup
		mu      sync.Mutex
		acked   = map[int64]bool{}
	)
	for range callers {
		wg.Go(func() {
			for !done.Load() {
				n := next.Add(1)
				start := time.Now()
				if err := rec.Audit(t.Context(), "refund", core.Fields{"n": n}, core.As("me")); err != nil {
					t.Errorf("audit %d failed after %s: %v", n, time.Since(start), err)
					return
				}
				longest.Store(max(longest.Load(), int64(time.Since(start))))
				mu.Lock()
				acked[n] = true
				mu.Unlock()
				stored.Add(1)
			}
		})
	}
	// more waits until so many more audits have been stored.
	more := func(n int64) {
		t.Helper()
		deadline := time.Now().Add(timeout)
		for until := stored.Load() + n; stored.Load() < until; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("only %d audits were stored in %s", stored.Load()+n-until, timeout)
			}
		}
	}
	defer wg.Wait()
	defer done.Store(true)
	more(1000)

	master := c.Master(0)
	c.Signal(master, syscall.SIGKILL)
	more(2000)
	t.Logf("the master was killed: the longest audit took %s, %+v", time.Duration(longest.Swap(0)), s.Stats())

	left := (master + 1) % 3
	estest.Healthy(t, c.URLs[left], 2)
	another := (master + 2) % 3
	c.Signal(another, syscall.SIGSTOP)
	time.Sleep(standstill) // is the fault, not a wait for anything
	c.Signal(another, syscall.SIGCONT)
	more(2000)
	t.Logf("a node stood still for %s: the longest audit took %s, %+v", standstill, time.Duration(longest.Load()), s.Stats())

	done.Store(true)
	wg.Wait()
	estest.Healthy(t, c.URLs[left], 2)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	seen := map[int64]int{}
	for _, e := range readAll(t, s, core.Query{}) {
		seen[e.Fields["n"].(int64)]++
	}
	for n := range acked {
		if seen[n] != 1 {
			t.Errorf("audit %d was acknowledged and is there %d times", n, seen[n])
		}
	}
	if documents := count(t, c.URLs[left], "audits,audits-dead-letter", "*"); documents != len(seen) || len(seen) != len(acked) {
		t.Errorf("%d documents of %d events are there, %d were acknowledged", documents, len(seen), len(acked))
	}
	if stats := fmt.Sprintf("%+v", rec.Stats()); rec.Stats().Failed+rec.Stats().Unknown != 0 {
		t.Errorf("the recorder says %s", stats)
	}
	if err := rec.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
