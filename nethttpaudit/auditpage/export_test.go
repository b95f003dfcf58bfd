package auditpage_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
	"github.com/auditing-go/auditing/core/export"
	"github.com/auditing-go/auditing/nethttpaudit/auditpage"
)

// post sends the form of an export from the page at href.
func (s site) post(ctx context.Context, href, format string) answer {
	s.t.Helper()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/audit/"+href, strings.NewReader(url.Values{"format": {format}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", "null") // as the page has no referrer
	return s.do(r)
}

// exported is what is in the ZIP that an export is answered with.
func (a answer) exported() (file string, m export.Manifest) {
	a.t.Helper()
	a.wantStatus(http.StatusOK)
	z, err := zip.NewReader(strings.NewReader(a.body), int64(len(a.body)))
	if err != nil || len(z.File) != 2 {
		a.t.Fatalf("%v: %s", err, a.body)
	}
	var parts []string
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			a.t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			a.t.Fatal(err)
		}
		parts = append(parts, string(data))
	}
	if err := json.Unmarshal([]byte(parts[1]), &m); err != nil || !strings.HasSuffix(z.File[1].Name, ".manifest.json") {
		a.t.Fatalf("%v: %s is %s", err, z.File[1].Name, parts[1])
	}
	var query bytes.Buffer
	if err := json.Compact(&query, m.Query); err != nil {
		a.t.Fatal(err)
	}
	m.Query = query.Bytes()
	return parts[0], m
}

// TestExport: all that matches is in the file, however many pages that is, and what was done is audited
// before and after.
func TestExport(t *testing.T) {
	s := newSite(t, newRecorder(t, core.Config{}), auditpage.Config{Hide: func(_, field string) bool { return field == "iban" }})
	for i := range 120 {
		s.event("refund", core.Fields{"amount": i % 2, "iban": "DE7"}, core.On("order", i))
	}
	s.event("login", core.Fields{"amount": "1"})
	s.get().wantStatus(http.StatusOK)
	for format, begin := range map[export.Format]string{
		export.CSV: "datetime,id,tag,", export.JSONL: `{"id":"`, export.ECS: `{"@timestamp":"`, export.OCSF: `{`,
	} {
		a := s.post(t.Context(), "?field=amount&value=1", string(format))
		file, m := a.exported()
		sum := sha256.Sum256([]byte(file))
		if m.Events != 61 || !m.Complete || m.By != "alice" || m.SHA256 != hex.EncodeToString(sum[:]) || string(m.Query) != `{"fields":{"amount":"1"}}` {
			t.Errorf("%s: the manifest is %+v", format, m)
		}
		if !strings.HasPrefix(file, begin) || strings.Contains(file, "DE7") || strings.Contains(file, "iban") || strings.Contains(file, core.TagRead) {
			t.Errorf("%s: the file is\n%s", format, file)
		}
		if disposition := a.Header.Get("Content-Disposition"); !strings.HasPrefix(disposition, `attachment; filename="audits-`) {
			t.Errorf("%s: Content-Disposition is %q", format, disposition)
		}
		looks := s.events(core.Query{Tag: core.TagRead, Limit: 2})
		after, before := looks[0].Fields, looks[1].Fields
		if before["view"] != "export" || before["format"] != string(format) || before["events"] != nil ||
			after["events"] != int64(61) || after["sha256"] != m.SHA256 || after["first"] != m.First.String() || looks[0].Outcome != core.OutcomeSuccess {
			t.Errorf("%s: it was audited as %v and %v", format, before, after)
		}
	}
	s.post(t.Context(), "", "xlsx").wantStatus(http.StatusBadRequest).wantSays("no such format")
	s.post(t.Context(), "?from=yesterday", "csv").wantStatus(http.StatusBadRequest).wantSays("From is no time")
	if file, m := s.post(t.Context(), "?user=mallory", "jsonl").exported(); m.Events != 0 || !m.Complete || file != "" {
		t.Errorf("of nothing there is %q, %+v", file, m)
	}
}

// TestExportOfTenant has nothing of another's.
func TestExportOfTenant(t *testing.T) {
	s := sharedTrail(t)
	ctx := context.WithValue(t.Context(), tenantKey{}, "home")
	for _, href := range []string{"", "?tag=shared", "?tenant=foreign", "?looks=1", "?view=timeline&resource=order/home-1", "?user=foreign-user"} {
		file, m := s.post(ctx, href, "jsonl").exported()
		if !strings.Contains(string(m.Query), `"tenant":"`) {
			t.Errorf("the manifest does not say whose: %s", m.Query)
		}
		if strings.Contains(file, "foreign") || m.Events == 0 && !strings.Contains(href, "foreign") {
			t.Errorf("%q exports %d events:\n%s", href, m.Events, file)
		}
	}
}

// TestExportFromElsewhere: no other site can have a viewer export.
func TestExportFromElsewhere(t *testing.T) {
	rec := audittest.New(t)
	s := newSite(t, rec.Recorder(), auditpage.Config{})
	for _, headers := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		r := httptest.NewRequest(http.MethodPost, "/audit/", strings.NewReader("format=csv"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set(headers[0], headers[1])
		s.do(r).wantStatus(http.StatusForbidden)
	}
	if n := len(rec.ByTag(core.TagRead)); n != 0 {
		t.Errorf("%d looks were audited", n)
	}
}

// TestExportUnavailable: without its audit nothing is exported, and what breaks off says so.
func TestExportUnavailable(t *testing.T) {
	rec := audittest.New(t)
	s := newSite(t, rec.Recorder(), auditpage.Config{})
	s.event("refund", nil)
	rec.Fail(errors.New("down"))
	if a := s.post(t.Context(), "", "csv").wantStatus(http.StatusServiceUnavailable); a.body != "" {
		t.Errorf("the body is %s", a.body)
	}
	breaking := &breaking{}
	broken, err := core.New(breaking, core.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close(context.Background())
	file, m := newSite(t, broken, auditpage.Config{}).post(t.Context(), "", "jsonl").exported()
	if m.Complete || m.Events != 1 || len(m.Missing) != 1 || bytes.Count([]byte(file), []byte("\n")) != 1 {
		t.Errorf("of a store that breaks there is %+v\n%s", m, file)
	}
	if last := breaking.saved[len(breaking.saved)-1]; last.Outcome != core.OutcomeFailure {
		t.Errorf("it was audited as %+v", last)
	}
}

// breaking is a store that can be read no further than its first page.
type breaking struct{ saved []core.Event }

func (s *breaking) Save(_ context.Context, events []core.Event) error {
	s.saved = append(s.saved, events...)
	return nil
}

func (s *breaking) Read(_ context.Context, q core.Query) (core.Page, error) {
	if q.After != "" {
		return core.Page{}, errors.New("broken")
	}
	e := core.Event{Tag: "refund", Time: noon}
	return core.Page{Events: []core.Event{e}, Next: core.Cursor{Time: e.Time}.String()}, nil
}
