package core

import (
	"context"
	"fmt"
)

// Store persists events. Package storetest proves what this comment asks for.
//
//   - Save may be called from several goroutines at once. It does not change the
//     events, and keeps neither the slice nor the events after it returned.
//   - nil means that every event of the batch is durable.
//   - A [*BatchError] names each event that is not known to be stored; all others
//     of the batch are durable. One event that cannot be stored never takes its
//     neighbours down with it.
//   - An event is refused ([Failure.Refused]) only for its own content, so that no
//     time and nobody's help would have it stored as it is. Everything else is an
//     outage and says Retry: no connection, no rights, no room, a missing table, a
//     server that is read-only or at one of its limits, an answer of a proxy, a store
//     that is closed. An outage is tried again within the audit's time, and a spool
//     waits it out; what is refused a spool sets aside for good.
//   - Any other error says that nothing is known: each event may or may not be
//     stored, and trying again can help.
//   - An event's ID is stored once, however often and in whichever way Save is
//     given it, also by another process. An event that is stored already is a success.
//     Of an event that says [Event.First] no earlier attempt exists.
//   - A batch is not a transaction: part of it may become visible first.
//   - Save ends soon after ctx does. The ctx is the recorder's, not a request's.
//   - A store that is closed answers [ErrClosed].
//   - Events come normalised, see [Event.Normalize]. A store that returns nil has
//     kept every one of their values: numbers by value, all else in its kind.
type Store interface {
	Save(ctx context.Context, events []Event) error
}

// Reader is a Store that can be asked for what it keeps.
type Reader interface {
	// Read returns one page of the events that match q, newest first. Their values
	// have the kinds they were audited with, but numbers are equal by value only: an
	// int64 in a column of floats is a float64.
	//
	// It leaves nothing out in silence: what can be read is in the page, and what cannot
	// is named by an error beside it, on every page that lacks it. With an error the page
	// may be empty.
	Read(ctx context.Context, q Query) (Page, error)
}

// TagLister is a Reader that knows under which tags there are events.
type TagLister interface {
	// Tags returns the tags of the events that can be read, sorted and each once. It does not
	// read them all: where several tags share a place, one may be missing of which nothing is
	// among the newest events there. What could not be looked at is named by an error beside
	// the tags of everything else.
	Tags(ctx context.Context) ([]string, error)
}

// Flusher is a Store that has more to do before what it saved can be read.
type Flusher interface {
	Flush(ctx context.Context) error
}

// Closer is a Store that holds resources. Close may be called more than once; it
// returns soon after ctx ends.
type Closer interface {
	Close(ctx context.Context) error
}

// Prompter is a Store that knows whether its Save is certain to return when its ctx
// ends, whatever the disk or the network does. When it is, a lone audit calls Save on
// its own goroutine, which spares the switch to another and back.
type Prompter interface {
	// Prompt is asked once, by [New].
	Prompt() bool
}

// BatchError says which events of a batch are not known to be stored.
type BatchError struct {
	Failures []Failure
}

// Failure is one event that a Save could not acknowledge.
type Failure struct {
	// Index is the event's place in the batch.
	Index int
	// Err is the reason.
	Err error
	// Retry says that this is an outage: trying again can help, see [Store].
	Retry bool
	// Lasting says of an outage that nothing changes within seconds, because somebody
	// has to mend something first: an audit ends at once, a spool waits all the same.
	Lasting bool
	// Unknown says that the event may be stored all the same. When it is false the
	// event is certainly not stored.
	Unknown bool
}

// Refused reports whether only the event's own content is why it is not stored.
func (f Failure) Refused() bool { return !f.Retry && !f.Unknown }

// soon reports whether trying again within the audit's time can help.
func (f Failure) soon() bool { return f.Unknown || f.Retry && !f.Lasting }

// FailAll is a BatchError that gives all n events of a batch the same failure.
func FailAll(n int, f Failure) *BatchError {
	e := &BatchError{Failures: make([]Failure, n)}
	for i := range e.Failures {
		f.Index = i
		e.Failures[i] = f
	}
	return e
}

// Error counts the failures and shows the first.
func (e *BatchError) Error() string {
	switch len(e.Failures) {
	case 0:
		return "no event failed"
	case 1:
		return fmt.Sprint(e.Failures[0].Err)
	}
	return fmt.Sprintf("%d events failed, the first: %v", len(e.Failures), e.Failures[0].Err)
}

// Unwrap returns the reasons.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, len(e.Failures))
	for i, f := range e.Failures {
		errs[i] = f.Err
	}
	return errs
}
