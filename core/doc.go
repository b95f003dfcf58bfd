// Package core records who did what to which, when, from where and with what result,
// and waits until that is durable.
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
// An application opens a [Store] with package stores and makes one [Recorder] of it with
// [New]. It installs the Middleware of its adapter, which puts the recorder and an [Origin]
// into each request's context. An audit asks the origin who acts and from where, makes an
// [Event] of the answer, and queues it. Audits that wait at the same moment share one
// write. No timer delays a lone one.
//
// Options say what the request does not: [On] which thing it was done to; [Succeeded],
// [Denied], [Failed] and [Result] how it ended; [OnBehalfOf] for whom; [As] and [Anonymous]
// who acts. No field can set these, so no form can forge them.
//
// # What nil means
//
// [Audit] returns nil in three cases:
//
//   - The event is durable in the store.
//   - Nobody is signed in. Nothing is stored; the audit counts as cancelled and is warned
//     of. [Config.RequireUser] makes it an error.
//   - [Config.Durability] makes the tag [BestEffort]. The event waits to be stored.
//
// With [In] the audit is part of a transaction of the caller's, and nil means that the event is
// there if and only if that commits.
//
// Anything else is an [*AuditError]; [errors.Is] tells these apart:
//
//   - [ErrTimeout], [ErrQueueFull], [ErrClosed]: the event is certainly not stored.
//   - [ErrUnknown]: a write was sent and nobody learnt how it ended. The error has the
//     event's ID.
//   - [ErrNoUser], [ErrRequestOver], or what the lookup of the user returned: nobody
//     can say who acted, so there is no event.
//   - [ErrNoRecorder]: no middleware is on the way and no default is set.
//   - None of them, and the text says which: the audit was asked for wrongly, as with two
//     outcomes; the store refuses the event for its content; or somebody has to mend the
//     store first, as when a right is missing. The event is not stored.
//
// An audit does not end with its request's context: one whose client has left is stored
// all the same. It does not outlast [Config.Timeout]. [Stats] accounts for every audit:
// Attempted = Stored + Joined + Cancelled + Failed + Unknown + Pending, at every moment.
//
// # Once
//
// An event gets its ID, a UUIDv7, before it is first written, and a store keeps each ID
// once. So it is safe to try an event again until its time is over, even after a
// connection broke in the middle of a commit. An audit that you make again after
// [ErrUnknown] is another event with another ID.
//
// # Lifecycle
//
// A recorder needs no start. Call [Recorder.Close] when the server has shut down: it takes
// no more audits, waits for those under way as long as its context allows, and closes the
// store. Work that outlives its request audits with the context that
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
