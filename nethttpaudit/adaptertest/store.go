package adaptertest

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core/audittest"
)

// filesIn returns gorilla's store of sessions in files.
func filesIn(folder string) *sessions.FilesystemStore {
	store := sessions.NewFilesystemStore(folder, []byte("0123456789abcdef0123456789abcdef"))
	store.Options.Secure = false
	store.Options.SameSite = http.SameSiteLaxMode
	return store
}

func sessionFileGone(t *testing.T, a Adapter) {
	rec := audittest.New(t)
	before, after := filesIn(t.TempDir()), filesIn(t.TempDir())
	s := newSite(t, a, bySession(rec, after))
	s.signIn(before, "alice")
	wantNil(t, s.audited("/x", "refund"))
	wantNothing(t, rec)
	s.signIn(after, "alice")
	wantNil(t, s.audited("/x", "refund"))
	wantUser(t, rec, "refund", "alice")
}

func sessionFolderGone(t *testing.T, a Adapter) {
	folder := filepath.Join(t.TempDir(), "sessions")
	makeFolder := func() {
		t.Helper()
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	makeFolder()
	rec, store := audittest.New(t), filesIn(folder)
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		wantText(t, s.audited("/x", "refund"), sessionName, "store", "no such file")
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil { // in the folder's place
		t.Fatal(err)
	}
	wantText(t, s.audited("/x", "refund"), sessionName, "store")
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	wantNothing(t, rec)
	makeFolder()
	wantNil(t, s.audited("/x", "refund"))
	wantNothing(t, rec)
}

// damageSessions makes each file of a session in folder unreadable.
func damageSessions(t *testing.T, folder string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "session_*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if err := os.Truncate(file, 20); err != nil {
			t.Fatal(err)
		}
	}
}

func sessionFileDamaged(t *testing.T, a Adapter) {
	folder := t.TempDir()
	rec, store := audittest.New(t), filesIn(folder)
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	damageSessions(t, folder)
	wantText(t, s.audited("/x", "refund"), sessionName, "store")
	wantNothing(t, rec)
	// Who signs in again is known at once.
	s.get("/login", func(c *Call) {
		c.change(t, store, func(values map[any]any) { values["username"] = "alice" })
		wantNil(t, c.Audit("login", nil))
	})
	wantUser(t, rec, "login", "alice")
	wantNil(t, s.audited("/x", "refund"))
	wantUser(t, rec, "refund", "alice")
}

// forgottenSession: a store on a cache or database may hand on how its client says
// that there is no such record.
func forgottenSession(t *testing.T, a Adapter) {
	for _, err := range []error{
		errors.New("memcache: cache miss"), fmt.Errorf("loading: %w", errors.New("mc: not found")), errors.New("redis: nil"),
		fmt.Errorf("loading the session: %w", sql.ErrNoRows), errors.New("record not found"),
	} {
		rec, store := audittest.New(t), newServerStore()
		s := newSite(t, a, bySession(rec, store))
		s.signIn(store, "alice")
		store.failWith(func(*http.Request) error { return err })
		wantNil(t, s.audited("/x", "refund"))
		wantNothing(t, rec)
		s.get("/login", func(c *Call) {
			c.change(t, store, func(values map[any]any) { values["username"] = "bob" })
			wantNil(t, c.Audit("login", nil))
		})
		wantUser(t, rec, "login", "bob")
	}
}

// unreachableStore: a server's socket that is gone is a file that does not exist.
func unreachableStore(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "alice")
	store.failWith(func(*http.Request) error {
		_, err := net.Dial("unix", filepath.Join(t.TempDir(), "redis.sock"))
		return err
	})
	wantError(t, s.audited("/x", "refund"), os.ErrNotExist)
	wantNothing(t, rec)
}

// undecodableCookie: what our own key has signed is no forgery, say when a type in
// it is no longer registered.
func undecodableCookie(t *testing.T, a Adapter) {
	key := []byte("0123456789abcdef0123456789abcdef")
	signed, err := securecookie.New(key, nil).SetSerializer(securecookie.NopEncoder{}).Encode(sessionName, []byte("no gob"))
	if err != nil {
		t.Fatal(err)
	}
	rec, store := audittest.New(t), cookieStore()
	store.Codecs = append(securecookie.CodecsFromPairs([]byte("a newer key of thirty-two bytes!")), store.Codecs...)
	s := newSite(t, a, bySession(rec, store))
	badCookie(s, signed, func(c *Call) {
		wantText(t, c.Audit("refund", nil), sessionName)
		c.change(t, store, func(values map[any]any) { values["username"] = "alice" })
		wantNil(t, c.Audit("login", nil))
	})
	wantUser(t, rec, "login", "alice")
	wantEvents(t, rec, 1)
}
