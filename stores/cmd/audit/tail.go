package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

const (
	// tailEvents is how many events are kept at once, unless more are of one moment.
	tailEvents = 10_000
	// firstStep and leastStep are the stretches of time in which it catches up.
	firstStep = time.Minute
	leastStep = time.Millisecond
)

// tail prints events as they come, oldest first.
func tail(set *flag.FlagSet, a *app) func(context.Context) error {
	a.readFlags(set)
	q := queryFlags(set)
	interval := set.Duration("interval", time.Second, "how often to look")
	overlap := set.Duration("overlap", time.Minute, "how far back to look for events that could not be read before")
	name := set.String("state", "", "the `file` that keeps how far it has come, so that the next one goes on there")
	once := set.Bool("once", false, "end where the trail does now")
	usage := set.Usage
	set.Usage = func() {
		fmt.Fprint(a.stderr, `audit tail prints each event as a line of JSON, oldest first, as log shippers read it: Vector, Fluent Bit, filebeat.
It begins at -from, where its state says, or now. After a crash it repeats what it may not have passed on.
It does its best: an event that can be read only when it is older than -overlap, as that of a spool
that waited for its database, is not in it. A feed that lacks nothing takes an outbox, which is written with the event.

`)
		usage()
	}
	return func(ctx context.Context) error {
		if *interval <= 0 || *overlap < 0 {
			return a.usage("-interval has to be more than 0, -overlap not less")
		}
		if !q.To.IsZero() {
			return a.usage("a tail has no end: use export")
		}
		r, err := a.begin(ctx, "tail", *q)
		if err != nil {
			return err
		}
		f := follower{reading: r, out: bufio.NewWriter(a.stdout), overlap: *overlap, name: *name, seen: map[uuid.UUID]time.Time{}, at: r.at, step: firstStep}
		if f.q.From.IsZero() {
			f.q.From = r.at
		}
		f.at = f.q.From
		err = f.load()
		for err == nil {
			var more bool
			more, err = f.next(ctx)
			if err != nil || !more && *once {
				break
			}
			if !more {
				select {
				case <-ctx.Done():
				case <-time.After(*interval):
				}
			}
			if ctx.Err() != nil {
				break
			}
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = nil // it was told to end
		}
		return r.end(ctx, err, core.Fields{"events": f.events})
	}
}

// follower is one tail.
type follower struct {
	*reading
	out     *bufio.Writer
	overlap time.Duration
	name    string
	at      time.Time // what is older was looked at
	seen    map[uuid.UUID]time.Time
	step    time.Duration
	events  int
}

// next prints what is new up to a step behind the last one, and reports whether there is more.
func (f *follower) next(ctx context.Context) (more bool, err error) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	for {
		to := f.at.Add(f.step)
		if more = to.Before(now); !more {
			to = now
		}
		found, all, err := f.between(ctx, f.at.Add(-f.overlap), to)
		switch {
		case err != nil:
			return false, err
		case !all:
			f.step = max(f.step/2, leastStep)
			continue
		case len(found) < tailEvents/4:
			f.step = min(2*f.step, 24*time.Hour)
		}
		return more, f.print(found, to)
	}
}

// between are the events of a time that were not printed, oldest first; false when they
// are so many that a shorter time is to be looked at.
func (f *follower) between(ctx context.Context, from, to time.Time) (found []core.Event, all bool, err error) {
	q := f.q
	if from.After(q.From) {
		q.From = from
	}
	q.To, q.Limit = to, 1000
	for {
		page, err := f.Read(ctx, q)
		if err != nil {
			return nil, false, err
		}
		for _, e := range page.Events {
			if _, ok := f.seen[e.ID]; !ok && !f.isOwn(e) {
				found = append(found, e)
			}
		}
		if len(found) > tailEvents && f.step > leastStep {
			return nil, false, nil
		}
		if q.After = page.Next; q.After == "" {
			slices.Reverse(found)
			return found, true, nil
		}
	}
}

// print prints events, and keeps that everything before to was looked at.
func (f *follower) print(events []core.Event, to time.Time) error {
	var line []byte
	for _, e := range events {
		line = append(e.AppendJSON(line[:0]), '\n')
		if _, err := f.out.Write(line); err != nil {
			return err
		}
		f.seen[e.ID] = e.Time
	}
	if err := f.out.Flush(); err != nil {
		return err
	}
	f.events += len(events)
	f.at = to
	for id, at := range f.seen {
		if at.Before(to.Add(-f.overlap)) {
			delete(f.seen, id)
		}
	}
	return f.save()
}

// state is what the file keeps.
type state struct {
	From time.Time               `json:"from"` // where the first one began
	At   time.Time               `json:"at"`
	Seen map[uuid.UUID]time.Time `json:"seen"`
}

func (f *follower) load() error {
	if f.name == "" {
		return nil
	}
	data, err := os.ReadFile(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return f.save() // which shows now whether that can be done
	}
	var s state
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return fmt.Errorf("the state in %s: %w", f.name, err)
	}
	f.q.From, f.at = s.From, s.At
	if s.Seen != nil {
		f.seen = s.Seen
	}
	return nil
}

func (f *follower) save() error {
	if f.name == "" {
		return nil
	}
	data, err := json.Marshal(state{f.q.From, f.at, f.seen})
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(f.name), filepath.Base(f.name)+".*")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), f.name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(temp.Name()))
	}
	return err
}
