package esstore

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

func TestDSN(t *testing.T) {
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, test := range []struct {
		dsn, hosts, prefix, index, authorization string
	}{
		{"http://127.0.0.1:9200/audits", "127.0.0.1:9200", "", "audits", ""},
		{"http://127.0.0.1:9200", "127.0.0.1:9200", "", "", ""},
		{"http://es/", "es:9200", "", "", ""},
		{"HTTPS://a:1,b,[::1]:3/x-y.z", "a:1 b:9200 [::1]:3", "", "x-y.z", ""},
		{"http://me:secret@es/a", "es:9200", "", "a", basic("me:secret")},
		{"http://me:p%40%2F%2C%25@a,b/p/q/x", "a:9200 b:9200", "/p/q", "x", basic("me:p@/,%")},
		{"http://me:p@,q@a/x", "a:9200", "", "x", basic("me:p@,q")},
		{"http://es/a?api_key=YWJj%3D&gzip=1&timeout=3s", "es:9200", "", "a", "ApiKey YWJj="},
	} {
		c, cfg, err := parseDSN(test.dsn, Config{})
		if err != nil {
			t.Errorf("%s: %v", test.dsn, err)
			continue
		}
		var hosts []string
		for _, n := range c.hosts {
			hosts = append(hosts, n.address)
		}
		if strings.Join(hosts, " ") != test.hosts || c.prefix != test.prefix || cfg.Index != test.index || c.authorization != test.authorization {
			t.Errorf("%s: hosts %v, prefix %q, index %q, authorization %q", test.dsn, hosts, c.prefix, cfg.Index, c.authorization)
		}
	}
	for dsn, want := range map[string]string{
		"":                                    "http://",
		"127.0.0.1:9200/audits":               "http://",
		"ftp://es/audits":                     "http://",
		"http:///audits":                      "host",
		"http://a,,b/audits":                  "host",
		"http://me:hunter2/x@es/audits":       "host",
		"http://me:hunter2%zz@es/audits":      "percent-encoded",
		"http://me:hunter2#@es/audits":        "percent-encoded",
		"http://es/audits?colour=hunter2":     "unknown parameter",
		"http://es/audits?gzip=hunter2hun":    "true or false",
		"http://es/audits?timeout=-1s":        "10s",
		"http://es/a?%zz=hunter2":             "parameters",
		"http://es/a?ca_file=/etc/passwd":     "https",
		"https://es/a?ca_file=/etc/passwd":    "PEM",
		"https://es/a?ca_file=/nowhere.pem":   "nowhere.pem",
		"https://es/a?fingerprint=hunter2":    "SHA-256",
		"http://es/Audits":                    "lower-case",
		"http://es/_all":                      "lower-case",
		"http://es/a*":                        "lower-case",
		"http://es/a,b":                       "lower-case",
		"http://es/a?dead_letter=a":           "another name",
		"http://es/a?data_stream=1&monthly=1": "one name",
	} {
		c, cfg, err := parseDSN(dsn, Config{})
		if err == nil {
			err = cfg.complete()
			c.close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want an error about %q", dsn, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") && !strings.Contains(dsn, "gzip") {
			t.Errorf("%q: the error shows what may be a secret: %v", dsn, err)
		}
	}
}

func FuzzDSN(f *testing.F) {
	for _, dsn := range []string{"http://me:p%40@a:1,b/x/audits?gzip=1&api_key=k", "https://[::1]/a?fingerprint=00", "http://@/?", "://", "http://a/b?timeout=1s#"} {
		f.Add(dsn)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		if strings.Contains(dsn, "ca_file") {
			return // no files
		}
		c, cfg, err := parseDSN(dsn, Config{})
		if err != nil {
			return
		}
		if len(c.hosts) == 0 || c.transport == nil {
			t.Fatalf("%q is taken and names no host", dsn)
		}
		if cfg.complete() == nil && (!validName(cfg.Index) || !validName(cfg.DeadLetter)) {
			t.Fatalf("%q names the index %q", dsn, cfg.Index)
		}
	})
}

func eightFields() core.Event {
	return core.Event{
		ID: uuid.MustParse("0198c0de-0000-7000-8000-000000000001"), Tag: "refund", User: "alice", Time: time.Date(2026, 11, 23, 1, 2, 3, 4000, time.UTC),
		Request: &core.Request{Path: "/refund", Host: "shop.example", IP: "203.0.113.9", Method: "POST", Peer: "10.0.0.1", Forwarded: "203.0.113.9", UserAgent: "curl/8", ID: "7f3a"},
		Fields: core.Fields{
			"order": 42, "amount": 9.5, "currency": "EUR", "what": "a book about \"quotes\"", "gift": true, "weight": 0.25, "shop": "north", "items": 3,
		},
	}.Normalize(0)
}

func TestEncodingAllocates(t *testing.T) {
	e := eightFields()
	buf := make([]byte, 0, 1<<16)
	if n := testing.AllocsPerRun(200, func() { buf = appendDocument(buf[:0], e, true) }); n > 2 {
		t.Errorf("encoding an event of eight fields allocates %g times, want at most 2", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	e := eightFields()
	buf := make([]byte, 0, 1<<16)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendDocument(buf[:0], e, true)
	}
}

func TestDocument(t *testing.T) {
	e := eightFields()
	e.Fields = core.Fields{"order": 42, "big": uint64(math.MaxUint64), "": 1, "a.": 2, "$x": math.NaN()}
	got := string(appendDocument(nil, e, false))
	const want = `{"@timestamp":"2026-11-23T01:02:03.000004Z","ecs":{"version":"9.4.0"},"tag":"refund",` +
		`"event":{"kind":"event","action":"refund","id":"0198c0de-0000-7000-8000-000000000001"},"user":{"name":"alice"},` +
		`"url":{"path":"/refund","domain":"shop.example"},"source":{"ip":"203.0.113.9"},` +
		`"http":{"request":{"method":"POST","id":"7f3a"}},"user_agent":{"original":"curl/8"},` +
		`"audit":{"micros":1795395723000004,"peer":"10.0.0.1","forwarded":"203.0.113.9","unsearchable":true,` +
		`"fields":{"":1,"$$x":{"$float":"NaN"},"a.":2,"big":18446744073709551615,"order":42},"size":541}}` + "\n"
	if got != want {
		t.Errorf("the document is\n%swant\n%s", got, want)
	}
	var doc struct{ Labels map[string]any }
	if err := json.Unmarshal(appendDocument(nil, e.Normalize(0), true), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Labels) != 3 || doc.Labels["$x"] != "NaN" || doc.Labels["order"] != 42.0 {
		t.Errorf("the labels are %v; want order, big and $x", doc.Labels)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add("refund", "alice", "order", "a \"b\"\n\\", "/x", int64(1), 1.5, int64(1_700_000_000_000_000))
	f.Add("", "\x00\xff", "$time", "\u2028", "", int64(math.MinInt64), math.Inf(1), int64(0))
	f.Add("a\r\n", "é", "a..b", strings.Repeat("é", 600), "\x7f", int64(0), 1e300, int64(-60_000_000_000_000_000))
	f.Fuzz(func(t *testing.T, tag, user, name, text, path string, n int64, x float64, micros int64) {
		e := core.Event{
			Tag: tag, User: user, OnBehalfOf: text, Target: path, Outcome: core.Outcome(name), Reason: tag, Tenant: text, Service: name,
			Time: time.UnixMicro(micros), Request: &core.Request{Path: path, UserAgent: text, ID: name, Route: tag, Trace: user},
			Fields: core.Fields{name: text, "n": n, "x": x, "deep": map[string]any{name: []any{text, n, nil, []byte(text)}}},
		}.Normalize(0)
		for _, form := range []func() []byte{
			func() []byte { return appendDocument(nil, e, true) },
			func() []byte { return appendDocument(nil, e, false) },
			func() []byte { return appendDeadLetter(nil, e, "audits", text) },
		} {
			line := form()
			if !json.Valid(line) || strings.IndexByte(string(line), '\n') != len(line)-1 {
				t.Fatalf("no JSON on one line: %q", line)
			}
			got, err := parseDocument(line)
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != e.ID || got.Tag != e.Tag || got.User != e.User || !got.Time.Equal(e.Time) || *got.Request != *e.Request ||
				!auditjson.Equal(map[string]any(got.Fields), map[string]any(e.Fields)) {
				t.Fatalf("%+v comes back as %+v", e, got)
			}
		}
	})
}

func FuzzParseDocument(f *testing.F) {
	f.Add(appendDocument(nil, eightFields(), true))
	f.Add(appendDeadLetter(nil, eightFields(), "audits", "why"))
	f.Add([]byte(`{"audit":{"fields":[]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = parseDocument(data) // whatever is in the index, reading it does not panic
	})
}

func TestReplyOfManyItems(t *testing.T) {
	one := `{"create":{"status":201}}`
	for _, test := range []struct {
		items  []string
		n      int
		stored int // -1 for unknown
	}{
		{[]string{one, one, one}, 3, 3},
		{[]string{one, one}, 3, -1},
		{[]string{one, one, one}, 2, -1},
		{[]string{one, `{"create":{"status":409}}`, one}, 3, 3},
		{[]string{one, `{"create":{"status":200}}`, `{"create":{"status":400}}`}, 3, 2},
		{[]string{one, `{"create":{"status":201}};`[:25], `{"create":{"status":201}}`}, 3, 3},
		{nil, 0, 0},
	} {
		body := `{"errors":false,"items":[` + strings.Join(test.items, ",") + `]}`
		r := readReply(answer{status: 200, body: []byte(body)}, test.n)
		stored := 0
		switch {
		case r.verdict != answered:
			stored = -1
		}
		for _, item := range r.items {
			if it := item.Create; it.created() || it.conflict() {
				stored++
			}
		}
		if stored != test.stored {
			t.Errorf("%s for %d documents: %d are stored, want %d", body, test.n, stored, test.stored)
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add(200, `{"items":[{"create":{"status":201}}]}`, "1")
	f.Add(200, `{"errors":false,"items":[{"create":{"status":201}}]}`, "")
	f.Add(200, `{"errors":false,"items":[{"create":{"status":201}}]]`, "")
	f.Add(429, `{"error":"busy"}`, "Wed, 21 Oct 2026 07:28:00 GMT")
	f.Add(200, `{"items":[{"create":null}]}`, "-1")
	f.Add(400, `{"error":{"type":"x","caused_by":{"reason":"y"}}}`, "99999999999999999999")
	f.Fuzz(func(t *testing.T, status int, body, after string) {
		a := answer{status: status, body: []byte(body), header: map[string][]string{"Retry-After": {after}}}
		r := readReply(a, 1)
		if r.verdict == answered && (len(r.items) != 1 || r.items[0].Create.Status == 0) {
			t.Fatal("an event without a status counts as answered")
		}
		if r.verdict != answered && r.err == nil {
			t.Fatal("a failure without a reason")
		}
		if r.after < 0 || r.after > maxRetryAfter {
			t.Fatalf("a pause of %s", r.after)
		}
	})
}
