package adaptertest

import (
	"fmt"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/gorilla/sessions"
)

// cookieStore returns a real gorilla store whose cookies also travel over plain HTTP.
func cookieStore() *sessions.CookieStore {
	store := sessions.NewCookieStore([]byte("0123456789abcdef0123456789abcdef"))
	store.Options.Secure = false
	store.Options.SameSite = http.SameSiteLaxMode
	return store
}

// serverStore is a session store that keeps the sessions on the server, as one in
// front of a database does: a value may be of any type, and reading may fail.
type serverStore struct {
	reads atomic.Int64

	mu     sync.Mutex
	kept   map[string]map[any]any
	fail   func(*http.Request) error
	lastID int
}

func newServerStore() *serverStore {
	return &serverStore{kept: map[string]map[any]any{}}
}

// failWith makes each read from now on ask f.
func (s *serverStore) failWith(f func(*http.Request) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

func (s *serverStore) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

func (s *serverStore) New(r *http.Request, name string) (*sessions.Session, error) {
	s.reads.Add(1)
	session := sessions.NewSession(s, name)
	session.Options = &sessions.Options{Path: "/"}
	session.IsNew = true
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		if err := fail(r); err != nil {
			return session, err
		}
	}
	cookie, err := r.Cookie(name)
	if err != nil {
		return session, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if values, ok := s.kept[cookie.Value]; ok {
		session.ID, session.IsNew = cookie.Value, false
		maps.Copy(session.Values, values)
	}
	return session, nil
}

func (s *serverStore) Save(_ *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session.ID == "" {
		s.lastID++
		session.ID = fmt.Sprintf("id%d", s.lastID)
	}
	s.kept[session.ID] = maps.Clone(session.Values)
	http.SetCookie(w, sessions.NewCookie(session.Name(), session.ID, session.Options))
	return nil
}
