package ginaudit_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	contrib "github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/cookie"
	"github.com/gin-gonic/gin"
	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/ginaudit"
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
	r := gin.New()
	r.Use(ginaudit.Middleware(rec, ginaudit.SessionUser(cookies, "session")))
	r.POST("/refund", func(c *gin.Context) {
		// A real application has signed the user in before.
		session, _ := cookies.Get(c.Request, "session")
		session.Values["username"] = "alice"

		err := ginaudit.Audit(c, "refund", ginaudit.Fields{"order": 42, "amount": 9.5})
		if err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}
	})

	r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "http://example.com/refund", nil))
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
	r := gin.New()
	r.Use(ginaudit.Middleware(rec, ginaudit.SessionUser(cookies, "session")))
	r.POST("/login", func(c *gin.Context) {
		user := "alice" // whose password was checked
		session := sessions.NewSession(cookies, "session")
		session.Options = cookies.Options
		session.Values["username"] = user
		err := ginaudit.Audit(c, "login", nil, core.As(user))
		if err == nil {
			err = session.Save(c.Request, c.Writer)
		}
		if err != nil {
			c.AbortWithStatus(http.StatusServiceUnavailable)
		}
	})

	r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "http://example.com/login", nil))
	// Output: login by alice from 192.0.2.1 at example.com/login map[]
}

// The session of gin-contrib/sessions is found without being named.
func ExampleMiddleware() {
	rec, err := core.New(printer{}, core.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer rec.Close(context.Background())

	r := gin.New()
	r.Use(contrib.Sessions("mysession", cookie.NewStore([]byte("a secret key of thirty-two bytes"))))
	r.Use(ginaudit.Middleware(rec))
	r.GET("/export", func(c *gin.Context) {
		contrib.Default(c).Set("userinfo", map[string]any{"preferred_username": "bob"})
		// Code below the handler needs only a context.
		if err := core.Audit(c.Request.Context(), "export", core.Fields{"rows": 7}); err != nil {
			log.Println(err)
		}
	})

	r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://example.com/export", nil))
	// Output: export by bob from 192.0.2.1 at example.com/export map[rows:7]
}
