//go:build unix

package esstore_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/esstore"
	"github.com/auditing-go/auditing/stores/esstore/estest"
)

// TestHeldSync takes about a minute for each kind: AUDITING_ELASTIC_HELD_SYNC asks for it.
//
// While a server cannot sync its disk events are written, and written again, which it
// answers with a conflict; then it is killed. No event was acknowledged that is gone, and
// in the end each is there once.
func TestHeldSync(t *testing.T) {
	if os.Getenv("AUDITING_ELASTIC_HELD_SYNC") == "" {
		t.Skip("set AUDITING_ELASTIC_HELD_SYNC=1 to kill servers of each kind that cannot sync")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("no strace, which holds the server's syncs: ", err)
	}
	for _, kind := range estest.Kinds {
		t.Run(string(kind), func(t *testing.T) { holdAndKill(t, estest.Start(t, kind, 1)) })
	}
}

func holdAndKill(t *testing.T, c *estest.Cluster) {
	const patience = 4 * time.Second
	url := c.URLs[0]
	s := openOn(t, url, "audits", esstore.Config{})
	// One node has no place for a replica, and is never healthy with one.
	if status, body := estest.Do(t, "PUT", url+"/audits", `{"settings":{"number_of_replicas":0}}`); status != 200 {
		t.Fatal(body)
	}
	var (
		mu    sync.Mutex
		acked = map[uuid.UUID]bool{}
	)
	// audit saves each of the events alone, all at once.
	audit := func(events []core.Event) {
		var wg sync.WaitGroup
		for _, e := range events {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				err := s.Save(ctx, []core.Event{e})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					acked[e.ID] = true
				} else if f := onlyFailure(t, err); f.Refused() || !f.Unknown {
					t.Errorf("failure %+v; want it to be unknown", f)
				}
			})
		}
		wg.Wait()
	}
	has := func(e core.Event) bool {
		_, body := estest.Do(t, "GET", url+"/audits/_doc/"+e.ID.String()+"?_source=false", "")
		return strings.Contains(body, `"found":true`)
	}
	events := sample(6)
	audit(events[:1])
	if !acked[events[0].ID] {
		t.Fatal("nothing can be written")
	}
	letGo := holdSyncs(t, c.Group(0))
	audit(events[1:])
	for _, e := range events[1:] {
		if !has(e) {
			t.Errorf("event %s is not in the server's memory: it is no conflict", e.ID)
		}
	}
	audit(events[1:])
	if len(acked) > 1 {
		t.Errorf("%d events are acknowledged that are on no disk", len(acked)-1)
	}
	c.Signal(0, syscall.SIGKILL)
	letGo()
	c.Restart(0)
	estest.Healthy(t, url, 1)
	lost := 0
	for _, e := range events {
		if has(e) {
			continue
		}
		lost++
		if acked[e.ID] {
			t.Errorf("event %s was acknowledged and is lost", e.ID)
		}
	}
	if lost == 0 {
		t.Error("the server has lost nothing: its syncs were not held")
	}
	t.Logf("%s: of %d events written twice while no sync ended %d were acknowledged, and the killed server had lost %d", c.Kind, len(events)-1, len(acked)-1, lost)
	audit(events)
	if len(acked) != len(events) {
		t.Errorf("%d events are acknowledged after the restart, want %d", len(acked), len(events))
	}
	wantAll(t, s, events)
	if n := count(t, url, "audits,audits-dead-letter", "*"); n != len(events) {
		t.Errorf("%d documents of %d events are there", n, len(events))
	}
}

// holdSyncs makes every sync that a process of a group begins last for minutes, until
// letGo is called or the test ends. Those of a process that is killed first never happen.
func holdSyncs(t *testing.T, group int) (letGo func()) {
	t.Helper()
	args := []string{"-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_enter=600000000"}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var pids []string
	for _, file := range stats {
		pid := filepath.Base(filepath.Dir(file))
		n, _ := strconv.Atoi(pid)
		if of, err := syscall.Getpgid(n); err == nil && of == group {
			args, pids = append(args, "-p", pid), append(pids, pid)
		}
	}
	var said strings.Builder
	strace := exec.Command("strace", args...)
	strace.Stderr = &said
	if err := strace.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		strace.Wait()
		close(ended)
	}()
	// It holds what it traces, also when that is killed, and heeds no other signal meanwhile.
	letGo = func() {
		strace.Process.Kill()
		<-ended
	}
	t.Cleanup(letGo)
	tracer := "TracerPid:\t" + strconv.Itoa(strace.Process.Pid) + "\n"
	for deadline := time.Now().Add(20 * time.Second); !allTraced(pids, tracer); {
		select {
		case <-ended:
			t.Skip("strace may not trace the server here: ", said.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("strace does not trace every thread of the server")
		}
	}
	return letGo
}

// allTraced reports whether every thread of the processes has that tracer.
func allTraced(pids []string, tracer string) bool {
	for _, pid := range pids {
		threads, err := filepath.Glob("/proc/" + pid + "/task/*/status")
		if err != nil || len(threads) == 0 {
			return false
		}
		for _, thread := range threads {
			if status, err := os.ReadFile(thread); err == nil && !strings.Contains(string(status), tracer) {
				return false
			}
		}
	}
	return true
}
