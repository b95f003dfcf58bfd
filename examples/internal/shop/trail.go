package shop

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/auditing-go/auditing/core"
)

// trailRows is how many audits one page shows.
const trailRows = 50

// trail is one page of audits, newest first.
type trail struct {
	Rows  []core.Event
	Older string // asks for the next page
}

func newTrail(p core.Page) *trail {
	// A JSON array is never null.
	return &trail{Rows: append([]core.Event{}, p.Events...), Older: p.Next}
}

// Audits answers GET /audits with the trail of everybody's audits, as a page or,
// if that is asked for, as a JSON array. An application shows it to few.
func (s *Shop) Audits(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept, Cookie")
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
		// What can be read is shown; the error names what cannot.
		slog.Error("reading the audits", "error", err)
	case err != nil:
		slog.Error("reading the audits", "error", err)
		s.Fail(w, r, http.StatusServiceUnavailable, "The audits cannot be read now. Try again.")
		return
	}
	t := newTrail(read)
	if !wantsJSON(r) {
		s.render(w, http.StatusOK, page{User: s.user(r), Trail: t})
		return
	}
	if t.Older != "" {
		w.Header().Set("Link", "</audits?after="+url.QueryEscape(t.Older)+`>; rel="next"`)
	}
	writeJSON(w, http.StatusOK, t.Rows)
}
