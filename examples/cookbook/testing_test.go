package cookbook

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/nethttpaudit"
)

func refund(w http.ResponseWriter, r *http.Request) {
	if err := nethttpaudit.Audit(r, "refund", nethttpaudit.Fields{"order": r.FormValue("order")}); err != nil {
		http.Error(w, "try again", http.StatusServiceUnavailable)
	}
}

// A recording stands in for the store: it is asked what was audited, and told to fail.
func TestRefundIsAudited(t *testing.T) {
	rec := audittest.New(t)
	handler := nethttpaudit.Middleware(rec.Recorder(), signedIn("alice"))(http.HandlerFunc(refund))

	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/refund?order=42", nil))
	if got := rec.Last("refund"); got.User != "alice" || got.Fields["order"] != "42" {
		t.Errorf("audited %+v", got)
	}
}

func TestNoRefundWithoutAudit(t *testing.T) {
	rec := audittest.New(t)
	rec.Fail(errors.New("the disk is full"))
	handler := nethttpaudit.Middleware(rec.Recorder(), signedIn("alice"))(http.HandlerFunc(refund))

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("POST", "/refund?order=42", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("it is answered with %d", w.Code)
	}
}
