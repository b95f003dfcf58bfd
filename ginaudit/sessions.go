package ginaudit

import (
	"reflect"
	"slices"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/nethttpaudit"
)

// contribKey is where gin-contrib/sessions keeps its session, or a map of them by
// their names. What it keeps is known by its method, so that the package is not
// compiled in.
const contribKey = "github.com/gin-contrib/sessions"

type contribSession interface {
	Session() *sessions.Session
}

func contribSessions(c any, name string) []nethttpaudit.FoundSession {
	kept, _ := c.(*gin.Context).Get(contribKey)
	if one, ok := kept.(contribSession); ok {
		session := one.Session()
		if session == nil || name == "" || name == session.Name() {
			return []nethttpaudit.FoundSession{{Session: session}}
		}
		return []nethttpaudit.FoundSession{{Store: session.Store(), Name: name}}
	}
	many := reflect.ValueOf(kept)
	if many.Kind() != reflect.Map || many.Type().Key().Kind() != reflect.String {
		return nil
	}
	byName := map[string]contribSession{}
	for entry := many.MapRange(); entry.Next(); {
		if one, ok := entry.Value().Interface().(contribSession); ok {
			byName[entry.Key().String()] = one
		}
	}
	var found []nethttpaudit.FoundSession
	for _, n := range sortedNames(byName) {
		if name == "" || name == n {
			found = append(found, nethttpaudit.FoundSession{Session: byName[n].Session()})
		}
	}
	return found
}

// sortedNames makes the order in which sessions are asked the same each time.
func sortedNames(byName map[string]contribSession) []string {
	names := make([]string, 0, len(byName))
	for n := range byName {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
