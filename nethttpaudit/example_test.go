package nethttpaudit_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
)

// printer is a store that prints what it is given; stores.Open gives real ones.
type printer struct{}

func (printer) Save(_ context.Context, events []core.Event) error {
	for _, e := range events {
		fmt.Println(e.Tag, "by", e.User, "from", e.Request.IP, "at", e.Request.Host+e.Request.Path, e.Fields)
	}
	return nil
}

func Example() {
	rec, err := core.New(printer{}, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())

	cookies := sessions.NewCookieStore([]byte("a secret key of thirty-two bytes"))
	mux := http.NewServeMux()
	mux.HandleFunc("POST /refund", func(w http.ResponseWriter, r *http.Request) {
		// A real application has signed the user in before.
		session, _ := cookies.Get(r, "session")
		session.Values["username"] = "alice"

		err := nethttpaudit.Audit(r, "refund", nethttpaudit.Fields{"order": 42, "amount": 9.5})
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	handler := nethttpaudit.Middleware(rec, nethttpaudit.SessionUser(cookies, "session"))(mux)

	r := httptest.NewRequest(http.MethodPost, "http://example.com/refund", strings.NewReader(""))
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output: refund by alice from 192.0.2.1 at example.com/refund map[amount:9.5 order:42]
}

// Who signs in gets a new session, so that one which was planted on them is worth
// nothing. The audit cannot see it yet, and names the user.
func ExampleAudit_signIn() {
	rec, err := core.New(printer{}, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())

	cookies := sessions.NewCookieStore([]byte("a secret key of thirty-two bytes"))
	signIn := func(w http.ResponseWriter, r *http.Request) {
		user := "alice" // whose password was checked
		session := sessions.NewSession(cookies, "session")
		session.Options = cookies.Options
		session.Values["username"] = user
		err := nethttpaudit.Audit(r, "login", nil, core.As(user))
		if err == nil {
			err = session.Save(r, w)
		}
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	}
	handler := nethttpaudit.Middleware(rec, nethttpaudit.SessionUser(cookies, "session"))(http.HandlerFunc(signIn))

	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "http://example.com/login", nil))
	// Output: login by alice from 192.0.2.1 at example.com/login map[]
}

func ExampleUser() {
	rec, err := core.New(printer{}, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())

	byPassword := nethttpaudit.User(func(r *http.Request) (string, error) {
		user, _, _ := r.BasicAuth()
		return user, nil
	})
	handler := nethttpaudit.Middleware(rec, byPassword)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := nethttpaudit.Audit(r, "export", nil); err != nil {
			log.Println(err)
		}
	}))

	r := httptest.NewRequest(http.MethodGet, "http://example.com/export", nil)
	r.SetBasicAuth("bob", "secret")
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output: export by bob from 192.0.2.1 at example.com/export map[]
}

func ExampleDetach() {
	rec, err := core.New(printer{}, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())

	done := make(chan struct{})
	asBob := nethttpaudit.User(func(*http.Request) (string, error) { return "bob", nil })
	handler := nethttpaudit.Middleware(rec, asBob)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx := nethttpaudit.Detach(r)
		go func() { // outlives the request
			defer close(done)
			if err := core.Audit(ctx, "report", core.Fields{"pages": 3}); err != nil {
				log.Println(err)
			}
		}()
	}))

	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://example.com/report", nil))
	<-done
	// Output: report by bob from 192.0.2.1 at example.com/report map[pages:3]
}
