package shop

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the page
	"encoding/base64"
	"encoding/json"
	"html/template"
	"log/slog"
	"net/http"
	"strings"

	"github.com/auditing-go/auditing/core"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed style.css
	styleCSS string

	pageTemplate = template.Must(template.New("page").Parse(pageHTML))

	// styleHash lets a browser show this style sheet and no other.
	styleHash = func() string {
		sum := sha256.Sum256([]byte(styleCSS))
		return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
	}()
)

// page is what page.html shows.
type page struct {
	User    string // "" shows the form to sign in
	Problem string // what went wrong
	Order   string // that was refunded

	Style template.CSS // set by render
	Stats core.Stats
}

func (s *Shop) render(w http.ResponseWriter, status int, p page) {
	p.Style, p.Stats = template.CSS(styleCSS), s.rec.Stats()
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		slog.Error("rendering the page", "error", err)
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// Fail answers with the page and what went wrong, or with JSON where that is the answer.
func (s *Shop) Fail(w http.ResponseWriter, r *http.Request, status int, problem string) {
	if wantsJSON(r) {
		writeJSON(w, status, map[string]string{"error": problem})
		return
	}
	s.render(w, status, page{User: s.user(r), Problem: problem})
}

// FailAudit answers when an audit failed: what cannot be audited is not done.
func (s *Shop) FailAudit(w http.ResponseWriter, r *http.Request, err error) {
	slog.Error("refused, because it could not be audited", "error", err)
	s.Fail(w, r, http.StatusServiceUnavailable, "This could not be audited, so it was not done. Try again.")
}

func wantsJSON(r *http.Request) bool {
	return r.URL.Path == "/audits" || strings.Contains(r.Header.Get("Accept"), "application/json")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		slog.Error("writing JSON", "error", err)
		http.Error(w, "This cannot be written as JSON.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
