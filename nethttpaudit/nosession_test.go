package nethttpaudit

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

// fileCodec decodes cookies, and of a session's file says err.
type fileCodec struct {
	securecookie.Codec
	err error
}

func (c fileCodec) Decode(name, value string, dst any) error {
	if _, cookie := dst.(*string); cookie {
		return c.Codec.Decode(name, value, dst)
	}
	return c.err
}

// A session whose file outlived its time is nobody, one whose file is not ours an error.
func TestWhatASessionFileHolds(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	past := securecookie.New(key, nil)
	past.MaxAge(-1)
	text, err := past.Encode("session", "x")
	if err != nil {
		t.Fatal(err)
	}
	var into string
	expired := past.Decode("session", text, &into)
	for _, c := range []struct {
		name   string
		err    error
		nobody bool
	}{
		{"expired", expired, true},
		{"not ours", securecookie.ErrMacInvalid, false},
		{"locked", fs.ErrPermission, false},
	} {
		store := sessions.NewFilesystemStore(t.TempDir(), key)
		w := httptest.NewRecorder()
		first := httptest.NewRequest(http.MethodGet, "/", nil)
		session, _ := store.New(first, "session")
		if err := session.Save(first, w); err != nil {
			t.Fatal(err)
		}
		store.Codecs = []securecookie.Codec{fileCodec{store.Codecs[0], c.err}}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Cookie", w.Header().Get("Set-Cookie"))
		user, err := newLookup(r).sessionUser([]FoundSession{{Store: store, Name: "session"}}, defaultPaths)
		if user != "" || (err == nil) != c.nobody {
			t.Errorf("%s: %q, %v; want nobody: %v", c.name, user, err, c.nobody)
		}
		if !c.nobody && !errors.Is(err, c.err) && !errors.As(err, new(securecookie.Error)) {
			t.Errorf("%s: %v hides the reason", c.name, err)
		}
	}
}
