package nethttpaudit

import (
	"context"
	"errors"
	"fmt"

	"github.com/gorilla/sessions"
)

// foundSessionUser is the source when no option names one.
func foundSessionUser(l *lookup) (string, error) {
	found, err := l.find("")
	if err != nil {
		return "", err
	}
	return l.sessionUser(found, defaultPaths)
}

func (l *lookup) noStore(name string) error {
	if l.framework.Sessions == nil {
		return fmt.Errorf("SessionUser(nil, %q) names no session store: pass the one that your handlers use", name)
	}
	return fmt.Errorf("SessionUser(nil, %q) found no session: install the framework's session middleware on this route, or pass your session store", name)
}

// sessionUser returns the user of the first of the sessions that knows one.
func (l *lookup) sessionUser(found []FoundSession, paths []string) (string, error) {
	for _, f := range found {
		session, err := f.read(l)
		if err != nil {
			return "", err
		}
		user, err := userIn(session.Values, paths)
		if err != nil {
			return "", fmt.Errorf("the user in session %q cannot be read: %w", session.Name(), err)
		}
		if user != "" {
			return user, nil
		}
	}
	return "", nil
}

// read returns the session as the handler sees it now. It is a shared one: what
// the handler has changed in it counts even if it could not be decoded at first.
func (f FoundSession) read(l *lookup) (*sessions.Session, error) {
	store, name := f.Store, f.Name
	if f.Session != nil {
		store, name = f.Session.Store(), f.Session.Name()
		if store == nil {
			return f.Session, nil
		}
	}
	if store == nil {
		return nil, errors.New("the framework's session middleware could not read its session: check that the session store can be reached")
	}
	session, err := l.session(store, name)
	switch {
	case err != nil && (session == nil || !isNobody(err, session)):
		return nil, fmt.Errorf("session %q cannot be read, check its name and that its store can be reached: %w", name, err)
	case session == nil:
		return nil, fmt.Errorf("session %q cannot be read: %T returned neither a session nor an error", name, store)
	case f.Session == nil || f.Session == session:
		return session, nil
	case f.Session.IsNew && !session.IsNew && len(f.Session.Values) == 0:
		// The middleware read for itself, and hid the error that it got.
		return nil, fmt.Errorf("session %q could not be read by the framework's session middleware: check that its store can be reached", name)
	}
	return f.Session, nil
}

func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
