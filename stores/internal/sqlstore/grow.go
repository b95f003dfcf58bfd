package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/auditing-go/auditing/core"
)

// Limits of growing. A Save waits for new tables and columns while growing goes on; then
// the audits go where there is room, and growing goes on behind them.
const (
	turnWait     = time.Second      // that a Save waits for its turn among many new tables
	growTimeout  = 10 * time.Second // for one
	minGrowPause = 250 * time.Millisecond
	maxGrowPause = time.Minute
)

// grower makes tables and columns, one at a time, in the background.
type grower struct {
	store  *Store
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	jobs    map[string]*growJob
	queue   []*growJob
	running bool
	growing string    // the table under way, or the last
	grown   time.Time // when the last one was
	pace    pace
}

// growJob is one table that wants to be made or widened.
type growJob struct {
	table    string
	fields   []Column
	asked    time.Time
	queued   bool
	failures int
	err      error         // of the last attempt, which failed
	braked   bool          // it waits for its turn among many
	resume   time.Time     // not tried before, after a failure
	done     chan struct{} // closed when the attempt under way has ended
}

func (g *grower) init(s *Store) {
	g.store = s
	g.jobs = map[string]*growJob{}
	g.ctx, g.cancel = context.WithCancel(context.Background())
}

// stop ends the growing and waits for the table under way.
func (g *grower) stop(ctx context.Context) error {
	g.cancel()
	end := func() error {
		g.wg.Wait()
		return nil
	}
	return CloseWithin(ctx, end, func() string {
		g.mu.Lock()
		defer g.mu.Unlock()
		return "the growing of table " + g.growing
	})
}

// want asks for a table with these columns and returns it if waiting for it is not in
// vain for now.
func (g *grower) want(table string, fields []Column) *growJob {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		return nil
	}
	j := g.jobs[table]
	if j == nil {
		if len(g.jobs) > g.store.cfg.MaxTables {
			return nil // so many have failed: there is no use in more
		}
		j = &growJob{table: table, asked: now}
		g.jobs[table] = j
	}
	for _, c := range fields {
		if !twin(j.fields, c.Name) {
			j.fields = append(j.fields, c)
		}
	}
	if !j.queued {
		if now.Before(j.resume) {
			return nil
		}
		if j.failures == 0 {
			j.asked = now
		}
		j.queued = true
		j.done = make(chan struct{})
		g.queue = append(g.queue, j)
		if !g.running {
			g.running = true
			g.wg.Add(1)
			go g.run()
		}
	}
	if j.failures > 0 {
		return nil // it may fail again, and that take long
	}
	last := max(0, len(g.queue)-1) // none is queued when the table grows just now
	if j.braked = g.pace.due(last, now).After(now.Add(turnWait)); j.braked {
		return nil
	}
	return j
}

// await waits for what was asked for, while growing goes on and until ctx leaves no more
// than a quarter of its time for writing.
func (g *grower) await(ctx context.Context, jobs []*growJob) {
	patience := g.store.backend.Patience()
	last := time.Now().Add(growTimeout)
	if deadline, ok := ctx.Deadline(); ok {
		last = deadline.Add(-time.Until(deadline) / 4)
	}
	for _, j := range jobs {
		for {
			g.mu.Lock()
			done, until := j.done, j.asked.Add(patience)
			if going := g.grown.Add(patience); going.After(until) {
				until = going
			}
			g.mu.Unlock()
			if until.After(last) {
				until = last
			}
			left := time.Until(until)
			if left <= 0 {
				return
			}
			select {
			case <-done:
			case <-time.After(left):
				continue
			case <-ctx.Done():
			}
			break
		}
	}
}

// run works through the queue and ends.
func (g *grower) run() {
	defer g.wg.Done()
	for {
		g.mu.Lock()
		if len(g.queue) == 0 || g.ctx.Err() != nil {
			for _, j := range g.queue {
				close(j.done)
			}
			g.queue = nil
			g.running = false
			g.mu.Unlock()
			return
		}
		now := time.Now()
		if pause := g.pace.due(0, now).Sub(now); pause > 0 {
			g.mu.Unlock()
			select {
			case <-time.After(pause):
			case <-g.ctx.Done():
			}
			continue
		}
		j := g.queue[0]
		g.queue = g.queue[1:]
		g.growing = j.table
		fields := slices.Clone(j.fields)
		g.mu.Unlock()
		ctx, cancel := context.WithTimeout(g.ctx, growTimeout)
		err := g.store.growNow(ctx, j.table, fields)
		cancel()
		g.finish(j, fields, err)
	}
}

func (g *grower) finish(j *growJob, fields []Column, err error) {
	g.mu.Lock()
	j.queued = false
	close(j.done)
	j.err = err
	if err == nil {
		g.grown = time.Now()
	}
	switch {
	case err != nil:
		j.failures++
		j.resume = time.Now().Add(core.Backoff(j.failures, minGrowPause, maxGrowPause))
	case len(j.fields) > len(fields): // more were asked for meanwhile
		j.failures = 0
	default:
		delete(g.jobs, j.table)
	}
	g.mu.Unlock()
	if err != nil {
		g.store.logger().Debug("auditing: a table has not been made or widened yet", "table", j.table, "columns", columnNames(fields), "reason", err)
	}
}

var (
	errSlow   = errors.New("making it takes longer than an audit waits")
	errBraked = fmt.Errorf("many new tables are wanted at once, and behind the first %d no more than %d a second grow", growFree, growBurst)
)

// failure returns why a table that was asked for has not grown.
func (g *grower) failure(table string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch j := g.jobs[table]; {
	case j == nil:
		return nil
	case j.err != nil:
		return j.err
	case j.braked:
		return errBraked
	}
	return nil
}

func columnNames(columns []Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return strings.Join(names, " ")
}

// growNow makes or widens a table and brings the catalogue up to date.
func (s *Store) growNow(ctx context.Context, table string, fields []Column) error {
	s.grower.mu.Lock()
	s.grower.pace.started(time.Now())
	s.grower.mu.Unlock()
	err := s.backend.Grow(ctx, table, fields, s.cfg.MaxColumns)
	if refreshErr := s.refresh(ctx, table); err == nil {
		err = refreshErr
	}
	return err
}
