// Package shop is the application that the examples share: a page on which one
// signs in and refunds orders. What it takes to audit, and to look at the audits,
// stands in the examples themselves.
//
// options.go reads the flags, serve.go starts and ends the program, page.go
// renders page.html, and trail.go answers GET /audits.
package shop

import (
	"crypto/rand"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
)

// SessionName is the session that keeps who is signed in, under the key username.
const SessionName = "session"

// sessionSeconds is how long one stays signed in.
const sessionSeconds = 12 * 60 * 60

// NewSessions returns a store of sessions in cookies that are signed with a fresh
// random key, so that a restart signs everybody out. An application keeps its key,
// and sets Secure once it is served over HTTPS.
func NewSessions() *sessions.CookieStore {
	key := make([]byte, 32)
	rand.Read(key) // never fails
	store := sessions.NewCookieStore(key)
	store.Options = &sessions.Options{Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	store.MaxAge(sessionSeconds)
	return store
}

// Shop holds the handlers that are the same with every framework. It is safe for
// concurrent use.
type Shop struct {
	rec      *core.Recorder
	sessions sessions.Store
}

// New returns a Shop that shows the audits of rec.
func New(rec *core.Recorder, sessions sessions.Store) *Shop {
	return &Shop{rec: rec, sessions: sessions}
}

// Home answers GET /.
func (s *Shop) Home(w http.ResponseWriter, r *http.Request) {
	s.render(w, http.StatusOK, page{User: s.user(r), Order: r.URL.Query().Get("order")})
}

// Refunded is where the answer to a refund leads: to the page, which says where its audit is seen.
func Refunded(order string) string { return "/?order=" + url.QueryEscape(order) }

// maxName keeps the session small enough for a cookie.
const maxName = 100

// Login answers POST /login. Any name will do: an application checks a password,
// or leaves that to its identity provider.
func (s *Shop) Login(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimSpace(r.PostFormValue("username"))
	if name == "" || len(name) > maxName {
		s.Fail(w, r, http.StatusBadRequest, "The username must have 1 to "+strconv.Itoa(maxName)+" bytes.")
		return
	}
	session, _ := s.sessions.Get(r, SessionName) // a cookie that cannot be read is replaced
	session.Values["username"] = name
	if err := session.Save(r, w); err != nil {
		s.Fail(w, r, http.StatusInternalServerError, "You could not be signed in.")
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// Logout answers POST /logout.
func (s *Shop) Logout(w http.ResponseWriter, r *http.Request) {
	session, _ := s.sessions.Get(r, SessionName)
	clear(session.Values)
	session.Options.MaxAge = -1 // deletes the cookie
	if err := session.Save(r, w); err != nil {
		s.Fail(w, r, http.StatusInternalServerError, "You could not be signed out.")
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// SignedIn reports whether somebody is signed in, and answers 401 otherwise. What
// nobody tried is audited under tag like anything else: as nobody can be named the
// audit is cancelled, which is counted and logged.
func (s *Shop) SignedIn(w http.ResponseWriter, r *http.Request, tag string) bool {
	if s.user(r) != "" {
		return true
	}
	if err := core.Audit(r.Context(), tag, nil); err != nil {
		s.FailAudit(w, r, err)
		return false
	}
	s.Fail(w, r, http.StatusUnauthorized, "Sign in first.")
	return false
}

// User says who looks at the audit trail: whoever is signed in may. An application lets few.
func (s *Shop) User(r *http.Request) (string, error) { return s.user(r), nil }

func (s *Shop) user(r *http.Request) string {
	session, _ := s.sessions.Get(r, SessionName)
	name, _ := session.Values["username"].(string)
	return name
}

const maxOrder = 100

// RefundForm returns what the form of POST /refund asks for.
func RefundForm(r *http.Request) (order string, amount float64, err error) {
	order = strings.TrimSpace(r.PostFormValue("order"))
	if order == "" || len(order) > maxOrder {
		return "", 0, errors.New("the order must have 1 to " + strconv.Itoa(maxOrder) + " bytes")
	}
	amount, err = strconv.ParseFloat(strings.TrimSpace(r.PostFormValue("amount")), 64)
	if err != nil || !(amount > 0) || math.IsInf(amount, 0) {
		return "", 0, errors.New("the amount must be a number above zero, such as 9.50")
	}
	return order, amount, nil
}

// MaxRefund is how much is refunded to an order without asking anybody.
const MaxRefund = 100

// Decide says whether so much is refunded: the result to audit, and what to tell who may not.
func Decide(amount float64) (result core.Option, refused string) {
	if amount > MaxRefund {
		reason := "more than " + strconv.Itoa(MaxRefund)
		return core.Denied(reason), "This is " + reason + ", so it is not refunded."
	}
	return core.Succeeded(), ""
}
