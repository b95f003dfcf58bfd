package adaptertest

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// signInWithNewSession: the usual defence against fixation. As names the user at
// once, and the next request finds them.
func signInWithNewSession(t *testing.T, a Adapter) {
	rec, store := audittest.New(t), newServerStore()
	s := newSite(t, a, bySession(rec, store))
	s.signIn(store, "mallory")
	s.get("/login", func(c *Call) {
		session := sessions.NewSession(store, sessionName)
		session.Options = &sessions.Options{Path: "/"}
		session.Values["username"] = "alice"
		wantNil(t, c.Audit("login", nil, core.As("alice")))
		wantNil(t, session.Save(c.Request, c.Writer))
	})
	wantUser(t, rec, "login", "alice")
	wantNil(t, s.audited("/x", "refund"))
	wantUser(t, rec, "refund", "alice")
}

// numberAsJSON: in a session that is kept as JSON an integer is a float64 when it
// comes back.
func numberAsJSON(t *testing.T, a Adapter) {
	for user, kept := range map[any]string{1042: "1042", 1042.0: "1042", int64(1<<53 - 1): "9007199254740991"} {
		text, err := json.Marshal(map[string]any{"user": user})
		if err != nil {
			t.Fatal(err)
		}
		var values map[string]any
		if err := json.Unmarshal(text, &values); err != nil {
			t.Fatal(err)
		}
		rec, err := sessionAudit(t, a, map[any]any{"user": values["user"]})
		wantNil(t, err)
		wantUser(t, rec, "refund", kept)
	}
}

type selfPointer *selfPointer

type panicker struct{}

func (panicker) String() string { panic("no text") }

func nothingIsNobody(t *testing.T, a Adapter) {
	for _, v := range []any{
		nil, "", []byte(nil), []string{}, map[string]string(nil), map[string]any{},
		(*string)(nil), (*panicker)(nil), (*int)(nil), sql.NullString{String: "left over"},
	} {
		what := fmt.Sprintf("%T", v)
		rec, err := sessionAudit(t, a, map[any]any{"username": v, 7: v, "user": "alice"})
		if err != nil || len(rec.Events()) != 1 || rec.Last("refund").User != "alice" {
			t.Errorf("%s: %v, %+v, want the user of the next path", what, err, rec.Events())
		}
		rec, err = sessionAudit(t, a, map[any]any{"username": v, "user": v})
		if err != nil || len(rec.Events()) != 0 {
			t.Errorf("%s: %v, %+v, want nobody", what, err, rec.Events())
		}
	}
}

func unreadableValues(t *testing.T, a Adapter) {
	cyclic := map[string]any{}
	cyclic["preferred_username"] = cyclic
	var self selfPointer
	self = &self
	for _, v := range []any{
		true, false, 1.5, math.NaN(), float64(1 << 53), 1i, []int{1}, []string{"alice"}, struct{}{}, make(chan int), func() {}, self,
		cyclic, map[int]string{1: "x"}, struct{ ID, password string }{"alice", "secret"}, []byte{0xff},
	} {
		rec, err := sessionAudit(t, a, map[any]any{"username": v, "user": "mallory"})
		wantText(t, err, `"username"`, fmt.Sprintf("%T", v), sessionName, "SessionUser", "User option")
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows a value: %v", err)
		}
		wantNothing(t, rec)
	}
	// Where a path leads on, and cannot.
	for _, v := range []any{"text", 7, []string{"alice"}, map[int]string{1: "x"}, struct{ Name string }{"alice"}} {
		rec, err := sessionAudit(t, a, map[any]any{"userinfo": v})
		wantText(t, err, `"userinfo"`, fmt.Sprintf("%T", v), "preferred_username", "SessionUser", "User option")
		wantNothing(t, rec)
		rec, err = sessionAudit(t, a, map[any]any{"userinfo": v, "user": "alice"})
		wantNil(t, err)
		wantUser(t, rec, "refund", "alice")
	}
}

// hugeUser: what no encoding could have made is stored all the same, and made harmless.
func hugeUser(t *testing.T, a Adapter) {
	rec, err := sessionAudit(t, a, map[any]any{"user": "a\x00b\xff" + strings.Repeat("x", 10<<20)})
	wantNil(t, err)
	if user := rec.Last("refund").User; !strings.HasPrefix(user, "a\uFFFDb\uFFFD") || len(user) > 1024 {
		t.Errorf("user of %d bytes, %.10q", len(user), user)
	}
}

func panickingValue(t *testing.T, a Adapter) {
	rec, err := sessionAudit(t, a, map[any]any{"username": panicker{}, "user": "alice"})
	wantText(t, err, "panicked", "no text")
	wantNothing(t, rec)
}
