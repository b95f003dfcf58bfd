package cookbook

import (
	"net/http"
	"net/http/httptest"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// Whoever typed a name has not proved to be that user: the name is a field, and the
// user is one that stands for nobody. Without As the audit would be cancelled.
func Example_failedSignIn() {
	signIn := func(w http.ResponseWriter, r *http.Request) {
		name := r.FormValue("name")
		tag, fields, user := "login", core.Fields(nil), name
		if r.FormValue("password") != "correct" {
			tag, fields, user = "login_failed", core.Fields{"claimed": name}, "anonymous"
		}
		if err := nethttpaudit.Audit(r, tag, fields, core.As(user)); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		if tag == "login_failed" {
			http.Error(w, "wrong name or password", http.StatusUnauthorized)
		}
	}
	rec := newTrail()
	handler := nethttpaudit.Middleware(rec, signedIn(""))(http.HandlerFunc(signIn))

	send(handler, httptest.NewRequest("POST", "/login?name=alice&password=guessed", nil))
	send(handler, httptest.NewRequest("POST", "/login?name=alice&password=correct", nil))
	show(rec)
	// Output:
	// 401 Unauthorized
	// 200 OK
	// login_failed by anonymous at /login map[claimed:alice]
	// login by alice at /login map[]
}
