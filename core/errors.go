package core

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// The reasons for which an audit returns an error. Ask with [errors.Is]; the
// error itself is an [*AuditError].
var (
	// ErrNoRecorder means that the context leads to no recorder and no default is set.
	ErrNoRecorder = errors.New("no recorder: install the adapter's Middleware on this route, pass a context from it, or call core.SetDefault")
	// ErrNoUser means that nobody could be identified; returned only with [Config.RequireUser].
	ErrNoUser = errors.New("no user: sign in, give the middleware a SessionUser or User option, or pass core.As")
	// ErrRequestOver means that the audit's request has ended, so that its user can no longer be known.
	ErrRequestOver = errors.New("the request is over, as the adapter's Middleware has returned: audit with the context that Detach returns on the handler's goroutine, install the Middleware outside of the layer that audits, or pass core.As")
	// ErrQueueFull means that too many audits wait for the store; the event is not stored.
	ErrQueueFull = errors.New("too many audits wait for the store")
	// ErrClosed means that the recorder, or its store, is closed; the event is not stored.
	ErrClosed = errors.New("the recorder is closed, or its store: call its Close when the last audit has returned, say after the Shutdown of the server")
	// ErrTimeout means that the audit's time ran out before the store took the event; it is not stored.
	ErrTimeout = errors.New("the store did not take the event in time")
	// ErrUnknown means that a write was sent and nobody learnt how it ended: the
	// event may or may not be stored. Its ID is in the [AuditError].
	ErrUnknown = errors.New("the store did not say whether it stored the event")
)

// AuditError is the error of one audit. It names the event, never its values.
type AuditError struct {
	// ID is the event's id; zero when the audit failed before the event was made.
	ID uuid.UUID
	// Tag is the event's tag.
	Tag string
	// Err is one of the reasons above, the store's own error, or both.
	Err error
}

// Error names the tag, the id and the reason.
func (e *AuditError) Error() string {
	if e.ID == uuid.Nil {
		return fmt.Sprintf("auditing %q: %v", e.Tag, e.Err)
	}
	return fmt.Sprintf("auditing %q (event %s): %v", e.Tag, e.ID, e.Err)
}

// Unwrap returns the reason.
func (e *AuditError) Unwrap() error { return e.Err }
