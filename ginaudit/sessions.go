package ginaudit

import (
	"maps"
	"net/http"
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
		found := foundSession(one)
		if found.Session != nil && name != "" && name != found.Session.Name() {
			found = nethttpaudit.FoundSession{Store: found.Session.Store()}
		}
		if found.Session == nil && name != "" {
			found.Name = name
		}
		return []nethttpaudit.FoundSession{found}
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
	for _, n := range slices.Sorted(maps.Keys(byName)) { // in the same order each time
		if name == "" || name == n {
			found = append(found, foundSession(byName[n]))
		}
	}
	return found
}

// foundSession returns the session that s has read, or else where it will read it:
// asking for it would read it here and now, however long that takes.
func foundSession(s contribSession) nethttpaudit.FoundSession {
	read, store, name := hidden[*sessions.Session](s, "session"), hidden[sessions.Store](s, "store"), hidden[string](s, "name")
	switch {
	case read != nil && *read != nil:
		return nethttpaudit.FoundSession{Session: *read}
	case read != nil && store != nil && name != nil:
		return nethttpaudit.FoundSession{Store: *store, Name: *name}
	}
	return nethttpaudit.FoundSession{Session: s.Session()}
}

// hidden returns the unexported field of *s, nil when there is no such field.
func hidden[T any](s contribSession, field string) *T {
	v := reflect.ValueOf(s)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	f := v.Elem().FieldByName(field)
	if !f.IsValid() {
		return nil
	}
	f = reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem() // which may be read
	if p, ok := f.Addr().Interface().(*T); ok {
		return p
	}
	if value, ok := f.Interface().(T); ok {
		return &value
	}
	return nil
}

// moveSessions has the sessions in c, a copy, read for its own request.
func moveSessions(c *gin.Context) {
	kept, ok := c.Get(contribKey)
	if !ok {
		return
	}
	many := reflect.ValueOf(kept)
	if many.Kind() != reflect.Map {
		c.Set(contribKey, moved(kept, c.Request))
		return
	}
	own := reflect.MakeMap(many.Type())
	for entry := many.MapRange(); entry.Next(); {
		own.SetMapIndex(entry.Key(), reflect.ValueOf(moved(entry.Value().Interface(), c.Request)))
	}
	c.Set(contribKey, own.Interface())
}

func moved(kept any, r *http.Request) any {
	one, ok := kept.(contribSession)
	if !ok || hidden[*http.Request](one, "request") == nil || hidden[*sessions.Session](one, "session") == nil {
		return kept
	}
	own := reflect.New(reflect.TypeOf(one).Elem())
	own.Elem().Set(reflect.ValueOf(one).Elem())
	session := own.Interface().(contribSession)
	*hidden[*http.Request](session, "request"), *hidden[*sessions.Session](session, "session") = r, nil
	return session
}
