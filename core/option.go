package core

import "time"

// Option says more about one audit than its tag and fields. Options are not fields, so
// that fields bound from a request body can never forge who acted, on what, when or with
// what result. The zero Option says nothing.
type Option struct {
	says  setting
	text  string
	value any
}

// setting is what an Option says. It is not a function of auditOptions, as a call of that
// would put them on the heap.
type setting uint8

const (
	_ setting = iota // nothing
	theUser
	onBehalfOf
	anonymous
	theTime
	within
	theTarget
	theOutcome
	theResult
	theTransaction
)

// auditOptions is what the options of one audit say together.
type auditOptions struct {
	user, onBehalfOf string
	anonymous        bool
	target           string
	outcome          Outcome
	reason           string
	at               time.Time
	within           time.Duration
	in               any   // the transaction, nil when there is none
	err              error // of the first option that cannot be
}

func (o *auditOptions) add(opt Option) {
	switch opt.says {
	case theUser:
		o.user = opt.text
	case onBehalfOf:
		o.onBehalfOf = opt.text
	case anonymous:
		o.anonymous = true
	case theTime:
		o.at = opt.value.(time.Time)
	case within:
		o.within = opt.value.(time.Duration)
	case theTarget:
		o.setTarget(opt.text, opt.value)
	case theOutcome:
		o.setOutcome(opt.value.(Outcome), opt.text)
	case theResult:
		o.setResult(opt.value)
	case theTransaction:
		o.setTransaction(opt.value)
	}
}

// nobody reports whether there is no user, and nobody says that there need be none.
func (o *auditOptions) nobody() bool { return o.user == "" && !o.anonymous }

func (o *auditOptions) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// As names the acting user, also one that is no person, such as "job:nightly"; it beats the
// session. "" leaves the choice to the session. The last of several counts.
func As(user string) Option { return Option{says: theUser, text: user} }

// OnBehalfOf names the user for whom the acting one acts, as an administrator who has
// taken over an account does. It beats what the adapter's Impersonator option says.
func OnBehalfOf(user string) Option { return Option{says: onBehalfOf, text: user} }

// Anonymous keeps the event also when nobody is signed in, with "" as its user: it is
// neither cancelled nor, with [Config.RequireUser], an error. Whoever is signed in is still
// the user, and a lookup that fails still fails the audit.
//
// Use it where one signs in: a name that was typed has proved nothing, so that it is the
// target and never the actor.
//
//	rec.Audit(ctx, "login", nil, core.Anonymous(), core.On("user", tried), core.Denied("wrong password"))
func Anonymous() Option { return Option{says: anonymous} }

// At sets when the event happened. Defaults to now; a zero time is now.
func At(t time.Time) Option { return Option{says: theTime, value: t} }

// Within shortens the time this audit may take; longer than [Config.Timeout] or
// not positive changes nothing.
func Within(d time.Duration) Option { return Option{says: within, value: d} }
