package nethttpaudit

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/sessions"
)

// FuzzCookie: whatever a browser sends as cookies, the user is nobody or somebody
// who was signed in with our key, under exactly that name, and it is never an error.
func FuzzCookie(f *testing.F) {
	store := sessions.NewCookieStore([]byte("a key that only this test has .."))
	store.MaxAge(0) // what the corpus holds does not expire
	signIn := func(t testing.TB, user string) (cookie string) {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		session, _ := store.New(r, "session")
		session.Values["username"] = user
		if err := session.Save(r, w); err != nil {
			t.Fatal(err)
		}
		cookie, _, _ = strings.Cut(w.Header().Get("Set-Cookie"), ";")
		return cookie
	}
	var s settings
	SessionUser(store, "session")(&s)
	userOf := func(t *testing.T, cookies string) string {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{cookies}
		user, err := s.users[0](newLookup(r))
		if err != nil {
			t.Fatalf("the cookies %q are an error: %v", cookies, err)
		}
		return user
	}
	f.Add(signIn(f, "alice"), "alice", uint(20), byte(1))
	f.Add("session="+signIn(f, "alice"), "<script>\x00\xff", uint(9), byte(0x80))
	f.Add("session=; session=x; =; session", "", uint(0), byte(0))
	f.Add(`a="b;c"; session="MTY5NDAwMDAwMHxuYW1lfGZvcmdlZA=="`, strings.Repeat("é", 200), uint(3), byte(' '))
	f.Fuzz(func(t *testing.T, cookies, user string, at uint, mask byte) {
		if got := userOf(t, cookies); got != "" && got != "alice" {
			t.Fatalf("the cookies %q are those of %q", cookies, got)
		}
		if len(user) > 1000 {
			return // no browser keeps such a cookie
		}
		cookie := []byte(signIn(t, user))
		if got := userOf(t, string(cookie)); got != user {
			t.Fatalf("the session of %q is that of %q", user, got)
		}
		cookie[at%uint(len(cookie))] ^= mask
		if got := userOf(t, string(cookie)); got != "" && got != user {
			t.Fatalf("the tampered cookie %q of %q is that of %q", cookie, user, got)
		}
	})
}

func newLookup(r *http.Request) *lookup {
	l, _ := newOrigin(framework.Adapter(nil), nil, r).lookup(context.Background())
	return l
}
