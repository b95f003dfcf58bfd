package proof_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/auditing-go/auditing/core"
)

// load is goroutines that audit without a pause while something happens.
type load struct {
	rec  *core.Recorder
	stop chan struct{}
	all  sync.WaitGroup

	mu        sync.Mutex
	phase     int
	attempted map[string]bool
	failed    map[string]error
	// ended and stored count the audits of each worker by the phase they began in.
	ended, stored [][]int
}

const (
	workers = 8
	phases  = 4
)

func newLoad(rec *core.Recorder) *load {
	l := &load{rec: rec, stop: make(chan struct{}), attempted: map[string]bool{}, failed: map[string]error{}}
	// What does not compress, so that each event takes room on a disk.
	pad := incompressible(6000)
	for range workers {
		l.ended, l.stored = append(l.ended, make([]int, phases)), append(l.stored, make([]int, phases))
	}
	for w := range workers {
		l.all.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-l.stop:
					return
				default:
					l.audit(w, n, pad)
				}
			}
		})
	}
	return l
}

func (l *load) audit(w, n int, pad string) {
	key := fmt.Sprintf("%02d-%d", w, n)
	l.mu.Lock()
	phase := l.phase
	l.attempted[key] = true
	l.mu.Unlock()
	err := l.rec.Audit(context.Background(), []string{"load_a", "load_b", ""}[n%3], core.Fields{"n": n, "pad": pad}, core.As(key))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended[w][phase]++
	if err == nil {
		l.stored[w][phase]++
	} else {
		l.failed[key] = err
	}
}

// next begins the next phase.
func (l *load) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase++
}

// each waits until every worker has come to the end of n audits that began in this
// phase, with success if that is asked for.
func (l *load) each(t *testing.T, n int, what string, success bool) {
	t.Helper()
	eventually(t, what, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for w := range workers {
			if l.ended[w][l.phase] < n || success && l.stored[w][l.phase] < n {
				return false
			}
		}
		return true
	})
}

func (l *load) failures() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.failed)
}

// end ends the load and returns what was acknowledged.
func (l *load) end() (acknowledged map[string]bool) {
	close(l.stop)
	l.all.Wait()
	acknowledged = maps.Clone(l.attempted)
	for key := range l.failed {
		delete(acknowledged, key)
	}
	return acknowledged
}

// checkErrors fails the test unless every error is one of the two that say what
// became of the event, and says the truth.
func (l *load) checkErrors(t *testing.T, stored map[string]int) {
	t.Helper()
	for key, err := range l.failed {
		var audit *core.AuditError
		switch {
		case !errors.As(err, &audit) || !strings.Contains(err.Error(), audit.Tag):
			t.Errorf("%s: not a clear error: %v", key, err)
		case errors.Is(err, core.ErrUnknown):
		case !errors.Is(err, core.ErrTimeout):
			t.Errorf("%s: the error is %v; want %v or %v", key, err, core.ErrTimeout, core.ErrUnknown)
		case stored[key] > 0:
			t.Errorf("%s is stored, and its error says it is certainly not: %v", key, err)
		}
	}
}

func (l *load) attempts() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.attempted)
}
