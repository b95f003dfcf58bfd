// Package contrib finds the store of echo-contrib/session, which is in the same place on
// each version of echo.
package contrib

import (
	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/nethttpaudit"
)

// Key is where echo-contrib/session keeps its store in echo's context. It is read from
// there, so that the package is not compiled in.
const Key = "_session_store"

// defaultName is the session that the documentation of echo-contrib/session uses; the
// package itself has no default.
const defaultName = "session"

// Sessions returns the session called name of what is kept under [Key].
func Sessions(kept any, name string) []nethttpaudit.FoundSession {
	store, ok := kept.(sessions.Store)
	if !ok {
		return nil
	}
	if name == "" {
		name = defaultName
	}
	return []nethttpaudit.FoundSession{{Store: store, Name: name}}
}
