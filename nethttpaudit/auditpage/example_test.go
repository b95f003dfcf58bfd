package auditpage_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
	"github.com/auditing-go/auditing/stores"
)

func ExampleNew() {
	ctx := context.Background()
	store, err := stores.Open(ctx, "sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	rec, err := core.New(store, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(ctx)

	cookies := sessions.NewCookieStore([]byte("a secret key of thirty-two bytes"))
	page, err := auditpage.New(rec, auditpage.Config{
		User: func(r *http.Request) (string, error) {
			session, _ := cookies.Get(r, "session")
			if admin, _ := session.Values["admin"].(bool); !admin {
				return "", nil
			}
			name, _ := session.Values["username"].(string)
			return name, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/audit/", page)
	handler := nethttpaudit.Middleware(rec, nethttpaudit.SessionUser(cookies, "session"))(mux)

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/audit/", nil))
	fmt.Println(w.Code, w.Body) // nobody is signed in
	// Output: 403 You may not see the audit trail.
}

// Each tenant sees its own events and nothing else.
func ExampleConfig_scope() {
	rec, err := core.New(printed{}, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())

	page, err := auditpage.New(rec, auditpage.Config{
		User: func(*http.Request) (string, error) { return "alice", nil },
		Scope: func(r *http.Request) (core.Query, error) {
			tenant, _, _ := strings.Cut(r.Host, ".")
			if tenant == "" {
				return core.Query{}, errors.New("no tenant") // or all would be seen
			}
			return core.Query{Tenant: tenant}, nil
		},
		Hide: func(tag, field string) bool { return field == "iban" },
	})
	if err != nil {
		log.Fatal(err)
	}
	page.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://acme.example.com/audit/?user=bob", nil))
	// Output: read for alice: tenant "acme", user "bob"
}

// printed is a store that says what is read.
type printed struct{}

func (printed) Save(context.Context, []core.Event) error { return nil }

func (printed) Read(_ context.Context, q core.Query) (core.Page, error) {
	if q.User != "" {
		fmt.Printf("read for alice: tenant %q, user %q\n", q.Tenant, q.User)
	}
	return core.Page{}, nil
}

func Example_mount() {
	var page http.Handler // of auditpage.New

	http.NewServeMux().Handle("/audit/", page)
	gin.New().Any("/audit/*any", gin.WrapH(page))
	echo.New().Any("/audit/*", echo.WrapHandler(page))
}
