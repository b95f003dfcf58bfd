package core

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
)

// ConsoleOption changes how [NewConsole] prints.
type ConsoleOption func(*console)

// JSONLines prints each event as one line of JSON with everything that is known
// about it, in the form of [Event.AppendJSON]: [Event.UnmarshalJSON] gives the event back.
func JSONLines() ConsoleOption {
	return func(c *console) { c.appendEvent = func(b []byte, e Event) []byte { return e.AppendJSON(b) } }
}

// NewConsole returns a [Store] that prints events to w, one line each:
//
//	2019-12-05 13:55:55.636742Z mytag: me {a: "some data", b: 0}
//
// Behind the user stand for whom, on what and with what outcome, if that was said, and in
// a request the client's address, the method, the host and the path. The line is for
// people: it leaves out the IDs, the tenant, the service and the rest of the request, which
// [JSONLines] keeps. Whatever could break a line or pass for
// another part of it is quoted and escaped.
//
// A nil w is os.Stdout, looked up at each write. A batch is one call of w.Write,
// and no two calls overlap. An event counts as stored once its line is written;
// it is as durable as w is. The console cannot look back: an event that is saved
// twice is printed twice.
func NewConsole(w io.Writer, opts ...ConsoleOption) Store {
	c := &console{w: w, turn: make(chan struct{}, 1), appendEvent: appendEventText}
	for _, opt := range opts {
		if opt != nil {
			opt(c)
		}
	}
	return c
}

var processConsole struct {
	once     sync.Once
	recorder *Recorder
}

// consoleRecorder takes the audits of a process that never made a recorder.
func consoleRecorder() *Recorder {
	processConsole.once.Do(func() {
		processConsole.recorder = newRecorder(NewConsole(nil), Config{})
	})
	return processConsole.recorder
}

type console struct {
	w           io.Writer
	appendEvent func([]byte, Event) []byte
	turn        chan struct{} // held by the Save that writes
	torn        bool          // the last write ended inside a line; guarded by turn
}

func (c *console) Save(ctx context.Context, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	if ctx == nil {
		ctx = context.Background()
	}
	// The lines are made here, so that a write which outlasts ctx needs no event.
	b := consoleBatch{ends: make([]int, len(events))}
	for i, e := range events {
		b.lines = append(c.appendEvent(b.lines, e), '\n')
		b.ends[i] = len(b.lines)
	}
	if ctx.Err() == nil {
		select {
		case c.turn <- struct{}{}:
			return c.saveInTurn(ctx, b)
		case <-ctx.Done():
		}
	}
	return FailAll(len(events), Failure{Err: ctx.Err(), Retry: true})
}

// saveInTurn leaves a write behind that outlasts ctx, as one to a pipe that
// nobody reads: such a write keeps its turn until it ends.
func (c *console) saveInTurn(ctx context.Context, b consoleBatch) error {
	written := make(chan error, 1)
	write := func() {
		defer func() { <-c.turn }()
		written <- c.write(b)
	}
	if ctx.Done() == nil {
		write()
	} else {
		go write()
	}
	select {
	case err := <-written:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// consoleBatch is what one Save prints, and where in it each event's line ends.
type consoleBatch struct {
	lines []byte
	ends  []int
}

func (c *console) write(b consoleBatch) error {
	w := c.w
	if w == nil {
		w = os.Stdout
	}
	if c.torn {
		// Nothing that follows may look like a part of the line that was cut off.
		if _, err := w.Write([]byte{'\n'}); err != nil {
			return b.failure(0, err)
		}
		c.torn = false
	}
	n, err := w.Write(b.lines)
	if err == nil && n >= len(b.lines) {
		return nil
	}
	if err == nil {
		err = io.ErrShortWrite
	}
	n = min(max(n, 0), len(b.lines))
	c.torn = n > 0 && b.lines[n-1] != '\n'
	return b.failure(n, err)
}

// failure names the events whose lines are not among the first n bytes. The line
// break itself may be missing: the next write starts with it.
func (b consoleBatch) failure(n int, err error) error {
	retry := !errors.Is(err, os.ErrClosed) && !errors.Is(err, io.ErrClosedPipe)
	var failed []Failure
	for i, end := range b.ends {
		if end-1 > n {
			failed = append(failed, Failure{Index: i, Err: err, Retry: retry})
		}
	}
	if failed == nil {
		return nil
	}
	return &BatchError{Failures: failed}
}
