// Package core records who did what, when and from where, and waits until that is
// durable.
//
//	err := rec.Audit(ctx, "refund", core.Fields{"order": 42, "amount": 9.5})
//
// One audit travels one way:
//
//	handler ── Audit(c, tag, fields) ──▶ Recorder ──▶ Store
//	           ginaudit, echoaudit,      who? from where?   postgres, sqlite, esstore,
//	           nethttpaudit              batch, wait,       spool, console, yours
//	                                     try again
//
// An application opens a [Store] with package stores, makes one [Recorder] of it with
// [New], and installs the Middleware of its adapter, which puts the recorder and an
// [Origin] into each request's context. An audit asks the origin who acts and from
// where, makes an [Event] of the answer, and queues it. Audits that wait at the same
// moment share one write; no timer delays a lone one.
//
// # What nil means
//
// [Audit] returns nil when the event is durable in the store, or when it was cancelled
// because nobody could be identified: that is counted and warned of, and
// [Config.RequireUser] makes it an error. Of a tag that [Config.Durability] makes
// [BestEffort] nil means that the event waits.
//
// Anything else is an [*AuditError]; [errors.Is] tells these apart:
//
//   - [ErrTimeout], [ErrQueueFull], [ErrClosed]: the event is certainly not stored.
//   - [ErrUnknown]: a write was sent and nobody learnt how it ended. The error has the
//     event's ID.
//   - [ErrNoUser], [ErrRequestOver], or what the lookup of the user returned: nobody
//     can say who acted, so there is no event.
//   - [ErrNoRecorder]: no middleware is on the way and no default is set.
//   - None of them: the audit cannot be made as it was asked for, as with two outcomes, or
//     the store refuses the event for its content. The text says which.
//
// An audit neither ends with its request's context nor outlasts [Config.Timeout]: one
// whose client has left is stored all the same. [Stats] accounts for every audit:
// Attempted = Stored + Cancelled + Failed + Unknown + Pending, at every moment.
//
// # Once
//
// An event has its ID, a UUIDv7, before it is first written, and a store keeps an ID
// once. So an event is tried again until its time is over, also after a connection
// broke in the middle of a commit. An audit that is made again after [ErrUnknown] is
// another event with another ID.
//
// # Lifecycle
//
// A recorder needs no start. [Recorder.Close] takes no more audits, waits for those
// under way as long as its context allows, and closes the store; call it when the
// server has shut down. Work that outlives its request audits with the context that
// [Detach] returns.
//
// # Writing a store
//
// Implement [Store], whose comment is the contract, and [Reader] if it can be read;
// package storetest proves both. Package auditjson writes and reads values that JSON
// has no kind for. [Query.Page] answers a query for a store that can list its events.
//
// # Writing an adapter
//
// The adapter of a framework translates between its context and package nethttpaudit,
// whose Framework is the seam; adaptertest.Run proves it. An Origin of your own
// suits what is no HTTP request: a queue's message, a command.
package core
