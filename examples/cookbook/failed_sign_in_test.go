package cookbook

import (
	"net/http"
	"net/http/httptest"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// Whoever typed a name has not proved to be that user: the name is the target, and the
// actor is nobody. Without Anonymous the audit would be cancelled.
func Example_failedSignIn() {
	signIn := func(w http.ResponseWriter, r *http.Request) {
		name := r.FormValue("name")
		who, result := core.As(name), core.Succeeded()
		if r.FormValue("password") != "correct" {
			who, result = core.Anonymous(), core.Denied("wrong password")
		}
		if err := nethttpaudit.Audit(r, "login", nil, who, core.On("user", name), result); err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		if r.FormValue("password") != "correct" {
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
	// login by nobody on user/alice denied wrong password at /login map[]
	// login by alice on user/alice success  at /login map[]
}
