// Package shoptest is the test of handlers that the examples share.
package shoptest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/sessions"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/examples/internal/shop"
)

// Refund proves that a refund is audited before it is done, and not done when that
// fails.
func Refund(t *testing.T, newHandler func(rec *core.Recorder, cookies sessions.Store) (http.Handler, error)) {
	rec := audittest.New(t)
	handler, err := newHandler(rec.Recorder(), shop.NewSessions())
	if err != nil {
		t.Fatal(err)
	}
	post := func(path string, form url.Values, cookies ...*http.Cookie) *http.Response {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Result()
	}
	cookies := post("/login", url.Values{"username": {"alice"}}).Cookies()
	refund := func(amount string) int {
		return post("/refund", url.Values{"order": {"A-1"}, "amount": {amount}}, cookies...).StatusCode
	}

	if status := refund("9.50"); status != http.StatusSeeOther {
		t.Errorf("the answer is %d, want %d", status, http.StatusSeeOther)
	}
	got := rec.Last("refund")
	if got.User != "alice" || got.Fields["order"] != "A-1" || got.Fields["amount"] != 9.5 || got.Target != "order/A-1" || got.Outcome != core.OutcomeSuccess || got.Request.Path != "/refund" {
		t.Errorf("what is audited is %+v", got)
	}

	if status := refund("101"); status != http.StatusForbidden {
		t.Errorf("the answer is %d when it is too much, want %d", status, http.StatusForbidden)
	}
	if got := rec.Last("refund"); got.Outcome != core.OutcomeDenied || got.Reason != "more than 100" {
		t.Errorf("what is audited is %+v", got)
	}

	rec.Fail(errors.New("the disk is full"))
	if status := refund("9.50"); status != http.StatusServiceUnavailable {
		t.Errorf("the answer is %d when the audit fails, want %d", status, http.StatusServiceUnavailable)
	}
	if n := len(rec.Events()); n != 2 {
		t.Errorf("%d events are stored, want 2", n)
	}
}
