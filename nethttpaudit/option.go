package nethttpaudit

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/gorilla/sessions"
)

// Option sets up a Middleware, this package's or that of an adapter which stands on it.
type Option func(*settings)

type settings struct {
	users         []userSource
	impersonators []userSource
	proxies       trustedProxies
	requestID     requestSource[string]
	clientIP      requestSource[netip.Addr]
}

// userSource looks up who acts; "" is nobody.
type userSource func(l *lookup) (string, error)

// SessionUser takes the user from the gorilla session called name in store.
//
// Each path names a place in the session, by default userinfo.preferred_username,
// username, user. A dot leads into a map with string keys or to an exported field
// of a struct, by its name or its json name; a key that itself contains the dot
// goes first. The paths are tried in order until one holds a user:
//
//   - text: a string, or a []byte in UTF-8;
//   - an integer, 0 too, or a float that is one exactly (below 2⁵³), because that
//     is what a session kept as JSON makes of an integer;
//   - what says itself which text it is, an [encoding.TextMarshaler] such as a UUID
//     or a [fmt.Stringer], or which value, a [database/sql/driver.Valuer] such as [database/sql.NullString].
//
// Nothing at a path is nobody: no such key, nil, a nil pointer, or what is empty.
// All else fails the audit with an error that names the type: a bool, a fraction, a
// time, a list, binary data, JSON, a struct or map (name a place in it, such as
// "user.id"). So does a path that leads on through what has nothing below it, unless
// another one holds a user.
//
// A cookie that is missing, tampered with, too long or expired is nobody, and so is
// a session that the store has forgotten. Any other error of the store fails the
// audit, because a store that is down must not pass for nobody. Some hide their
// errors, among them wader/gormstore, srinathgs/mysqlstore, savaki/dynastore and
// those on MongoDB: with these, let [core.Config.RequireUser] make nobody an error.
//
// A nil store means the one that the framework's session middleware uses, and ""
// that middleware's own session: gin-contrib/sessions with ginaudit,
// echo-contrib/session with echoaudit. net/http has no such thing, so there each
// audit fails with an error that says so.
//
// Given several times, or together with User, the options are asked in their
// order, and the first that knows a user wins.
func SessionUser(store sessions.Store, name string, paths ...string) Option {
	if len(paths) == 0 {
		paths = defaultPaths
	}
	paths = slices.Clone(paths)
	return func(s *settings) {
		s.users = append(s.users, func(l *lookup) (string, error) {
			found := []FoundSession{{Store: store, Name: name}}
			if store == nil {
				var err error
				if found, err = l.find(name); err != nil {
					return "", err
				}
				if len(found) == 0 {
					return "", l.noStore(name)
				}
			}
			return l.sessionUser(found, paths)
		})
	}
}

// User takes the user from f, which is asked each time an audit is made. "" is
// nobody; an error or a panic fails the audit. f gets the request as the innermost
// layer that audits sees it, with a context that ends after [core.DefaultTimeout]
// instead of when the client leaves. f itself may only audit with [core.As].
//
// f runs on a goroutine of its own, with a copy of the request without its body and
// copies of its sessions: the audit does not wait longer than it has time for.
func User(f func(*http.Request) (string, error)) Option {
	return func(s *settings) { s.users = append(s.users, ofCopy("User", f)) }
}

// ContextUser is User for the adapter of a framework with its own context type
// C: f gets what the adapter gave to [Adapter.Begin].
func ContextUser[C any](f func(C) (string, error)) Option {
	return func(s *settings) { s.users = append(s.users, ofContextCopy("User", f)) }
}

// Impersonator says who really acts when somebody works in the account of another user, such
// as an administrator of the support; "" is nobody else. That one becomes the event's User,
// and the user that is signed in becomes its OnBehalfOf. f is given and asked the same as that
// of [User], after it; several options are asked in their order.
//
//	nethttpaudit.Impersonator(func(r *http.Request) (string, error) {
//		session, err := store.Get(r, "session")
//		admin, _ := session.Values["impersonator"].(string)
//		return admin, err
//	})
func Impersonator(f func(*http.Request) (string, error)) Option {
	return func(s *settings) { s.impersonators = append(s.impersonators, ofCopy("Impersonator", f)) }
}

// ContextImpersonator is Impersonator for the adapter of a framework with its own context type C.
func ContextImpersonator[C any](f func(C) (string, error)) Option {
	return func(s *settings) { s.impersonators = append(s.impersonators, ofContextCopy("Impersonator", f)) }
}

// ofCopy asks f with a copy of the request.
func ofCopy(option string, f func(*http.Request) (string, error)) userSource {
	return asking(option, f, func(_ *lookup, r *http.Request) (*http.Request, error) { return r, nil })
}

// ofContextCopy asks f with a copy of the framework's context.
func ofContextCopy[C any](option string, f func(C) (string, error)) userSource {
	return asking(option, f, func(l *lookup, r *http.Request) (own C, err error) {
		c, err := l.context(r)
		if err != nil {
			return own, err
		}
		own, ok := c.(C)
		if !ok {
			err = fmt.Errorf("a %s option of another adapter was given to %s.Middleware: use %[2]s.%[1]s", option, l.framework.Package)
		}
		return own, err
	})
}

// asking asks f, given what argument makes of a copy of the request.
func asking[A any](option string, f func(A) (string, error), argument func(*lookup, *http.Request) (A, error)) userSource {
	return func(l *lookup) (string, error) {
		if f == nil {
			return "", errNilOption(option)
		}
		a, err := argument(l, l.copiesOfSessions())
		if err != nil {
			return "", err
		}
		user, err := await(l, f, a)
		if lost := l.lost.Load(); lost != nil {
			return "", *lost
		}
		return user, err
	}
}

// TrustedProxies says exactly which peers and hops X-Forwarded-For is believed
// from; with no prefix nobody, so that the client IP is always the peer's. An
// invalid prefix trusts nobody. The last use of the option counts.
//
// Without the option loopback, link-local and private addresses are trusted, and
// peers on a Unix socket, which have no address.
func TrustedProxies(prefixes ...netip.Prefix) Option {
	proxies := trustedProxies{stated: true}
	for _, p := range prefixes {
		proxies.prefixes = append(proxies.prefixes, unmapPrefix(p))
	}
	return func(s *settings) { s.proxies = proxies }
}
