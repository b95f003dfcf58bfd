package shop

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/auditing-go/auditing/core"
)

// trailRows is how many audits one answer holds.
const trailRows = 50

// Audits answers GET /audits with the newest of everybody's audits as a JSON array, for
// programs. An application shows it to few.
func (s *Shop) Audits(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Cookie")
	if !s.SignedIn(w, r, "audits") {
		return
	}
	read, err := s.rec.Read(r.Context(), core.Query{Limit: trailRows, After: r.URL.Query().Get("after")})
	switch {
	case errors.Is(err, core.ErrCursor):
		s.Fail(w, r, http.StatusBadRequest, "There is no such page of audits.")
		return
	case errors.Is(err, errors.ErrUnsupported):
		s.Fail(w, r, http.StatusNotImplemented, "This store cannot be read from here: start the program with another -store.")
		return
	case err != nil && len(read.Events) > 0:
		// What can be read is in the answer; the error names what cannot.
		slog.Error("reading the audits", "error", err)
	case err != nil:
		slog.Error("reading the audits", "error", err)
		s.Fail(w, r, http.StatusServiceUnavailable, "The audits cannot be read now. Try again.")
		return
	}
	if read.Next != "" {
		w.Header().Set("Link", "</audits?after="+url.QueryEscape(read.Next)+`>; rel="next"`)
	}
	writeJSON(w, http.StatusOK, append([]core.Event{}, read.Events...)) // an array, never null
}
