package nethttpaudit

import (
	"context"
	"maps"
	"net/http"
	"reflect"

	"github.com/gorilla/sessions"
)

// registryKey is the unexported key under which gorilla/sessions keeps a request's
// registry in its context, learnt by watching it look.
var registryKey = func() any {
	w := &keyWatcher{Context: context.Background()}
	sessions.GetRegistry((&http.Request{}).WithContext(w))
	return w.key
}()

type keyWatcher struct {
	context.Context
	key any
}

func (w *keyWatcher) Value(key any) any {
	w.key = key
	return nil
}

// requestRegistry returns the registry of the request that arrived, so that layers
// outside find there what those inside have read and changed. gorilla puts a new one
// into that request, as it would have without us.
func (o *Origin) requestRegistry() *sessions.Registry {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.registry == nil {
		o.registry = sessions.GetRegistry(o.entry)
	}
	return o.registry
}

// existingRegistry is requestRegistry without making one.
func (o *Origin) existingRegistry() *sessions.Registry {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.registry != nil {
		return o.registry
	}
	if outer := o.outer(); outer != nil {
		return outer.existingRegistry()
	}
	registry, _ := o.entry.Context().Value(registryKey).(*sessions.Registry)
	return registry
}

// known is a store that knows one session.
type known struct {
	sessions.Store
	session *sessions.Session
	err     error
}

func (k known) New(*http.Request, string) (*sessions.Session, error) {
	if k.session == nil {
		panic(k) // so that the registry keeps nothing
	}
	return k.session, k.err
}

// cached returns the session that registry has read already, and whether it has.
func cached(registry *sessions.Registry, store sessions.Store, name string) (session *sessions.Session, err error, ok bool) {
	defer func() {
		if p := recover(); p != nil && p != any(known{}) {
			panic(p)
		}
	}()
	_, _ = registry.Get(known{}, name)
	session, err = registry.Get(store, name) // the look has changed the session's store
	return session, err, true
}

// add makes session the one that registry has read.
func add(registry *sessions.Registry, session *sessions.Session, err error, name string) {
	store := session.Store()
	_, _ = registry.Get(known{session: session, err: err}, name)
	_, _ = registry.Get(store, name)
}

// addCopy gives registry a copy of a session that somebody else goes on to use.
func addCopy(registry *sessions.Registry, session *sessions.Session, err error) {
	own := sessions.NewSession(session.Store(), session.Name())
	own.ID, own.IsNew, own.Values = session.ID, session.IsNew, maps.Clone(session.Values)
	if session.Options != nil {
		options := *session.Options
		own.Options = &options
	}
	add(registry, own, err, session.Name())
}

// addCopies gives to what from has read. There is no API that lists it.
func addCopies(to, from *sessions.Registry) {
	all := reflect.ValueOf(from).Elem().FieldByName("sessions")
	if all.Kind() != reflect.Map {
		return
	}
	for entry := all.MapRange(); entry.Next(); {
		info := entry.Value()
		if info.Kind() != reflect.Struct || info.NumField() == 0 || info.Field(0).Type() != reflect.TypeFor[*sessions.Session]() {
			return
		}
		if session := (*sessions.Session)(info.Field(0).UnsafePointer()); session != nil {
			_, err := from.Get(session.Store(), entry.Key().String())
			addCopy(to, session, err)
		}
	}
}
