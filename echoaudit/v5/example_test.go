package echoaudit_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/echoaudit/v5"
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
	e := echo.New()
	e.Use(echoaudit.Middleware(rec, echoaudit.SessionUser(cookies, "session")))
	e.POST("/refund", func(c *echo.Context) error {
		// A real application has signed the user in before.
		session, _ := cookies.Get(c.Request(), "session")
		session.Values["username"] = "alice"

		return echoaudit.Audit(c, "refund", echoaudit.Fields{"order": 42, "amount": 9.5})
	})

	e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "http://example.com/refund", nil))
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
	e := echo.New()
	e.Use(echoaudit.Middleware(rec, echoaudit.SessionUser(cookies, "session")))
	e.POST("/login", func(c *echo.Context) error {
		user := "alice" // whose password was checked
		session := sessions.NewSession(cookies, "session")
		session.Options = cookies.Options
		session.Values["username"] = user
		if err := echoaudit.Audit(c, "login", nil, core.As(user)); err != nil {
			return err
		}
		return session.Save(c.Request(), c.Response())
	})

	e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "http://example.com/login", nil))
	// Output: login by alice from 192.0.2.1 at example.com/login map[]
}

func ExampleUser() {
	rec, err := core.New(printer{}, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())

	signIn := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			c.Set("user", "bob")
			return next(c)
		}
	}
	e := echo.New()
	e.Use(echoaudit.Middleware(rec, echoaudit.User(func(c *echo.Context) (string, error) {
		user, _ := c.Get("user").(string)
		return user, nil
	})), signIn)
	e.GET("/export", func(c *echo.Context) error {
		// Code below the handler needs only a context.
		return core.Audit(c.Request().Context(), "export", core.Fields{"rows": 7})
	})

	e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://example.com/export", nil))
	// Output: export by bob from 192.0.2.1 at example.com/export map[rows:7]
}
