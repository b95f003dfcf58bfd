package core

import "time"

// Option changes one audit. Options are not fields, so that fields bound from a
// request body can never forge who acted or when.
type Option func(*auditOptions)

type auditOptions struct {
	user   string
	at     time.Time
	within time.Duration
}

// As names the acting user; it beats the session. "" names nobody in particular
// and leaves the choice to the session.
func As(user string) Option { return func(o *auditOptions) { o.user = user } }

// At sets when the event happened. Defaults to now; a zero time is now.
func At(t time.Time) Option { return func(o *auditOptions) { o.at = t } }

// Within shortens the time this audit may take; longer than [Config.Timeout] or
// not positive changes nothing.
func Within(d time.Duration) Option { return func(o *auditOptions) { o.within = d } }
