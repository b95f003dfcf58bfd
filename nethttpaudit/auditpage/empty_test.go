package auditpage_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
)

func TestNothingFound(t *testing.T) {
	s := newSite(t, newRecorder(t, core.Config{}), auditpage.Config{
		Scope: func(r *http.Request) (core.Query, error) { return core.Query{Tag: r.Header.Get("Scope")}, nil },
	})
	s.get().wantSays("No event that you may see is kept yet.")
	s.event("refund", nil, core.On("order", 1))
	s.event("refund", nil, core.At(noon.Add(24*time.Hour)))
	for _, test := range []struct {
		want   string
		params []string
	}{
		{"none with all of these conditions", []string{"user", "mallory"}},
		{"none with all of the other conditions", []string{"user", "mallory", "from", "2026-11-20"}},
		{"upper and lower case differ", []string{"user", "Bob"}},
		{"such as order/42", []string{"resource", "1"}},
		{"not inside of lists", []string{"field", "order", "value", "1"}},
		{"The newest event is of 2026-11-21 12:00:00 UTC", []string{"from", "2026-11-22"}},
		{"No event before that is kept", []string{"before", "2026-11-20"}},
		{"The newest event before that is of 2026-11-20 12:00:00 UTC", []string{"from", "2026-11-20T13:00", "before", "2026-11-20T14:00"}},
	} {
		s.get(test.params...).wantStatus(http.StatusOK).wantSays(test.want)
	}
	r := httptest.NewRequest(http.MethodGet, "/audit/?tag=refund", nil)
	r.Header.Set("Scope", "login")
	s.do(r).wantStatus(http.StatusOK).wantSays("lies outside of what you may see")
}
