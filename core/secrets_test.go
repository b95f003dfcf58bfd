package core

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestSecretNames(t *testing.T) {
	for _, name := range []string{
		"password", "Password", "PASSWORD", "user_password", "user-password", "user.password", "user password", "userPassword", "UserPassword",
		"USER_PASSWORD", "passwords", "password2", "2password", "password_hash", "passwordConfirmation", "old_password", "DBPassword", "dbPASSWORD",
		"passwd", "passphrase", "pass_phrase", "pass-word", "secret", "client_secret", "clientSecret", "secrets", "aws.secret.access",
		"access_token", "accessToken", "ACCESS-TOKEN", "access.token", "accesstoken", "refresh_token", "api_key", "apiKey", "APIKey", "API_KEY", "x-api-key",
		"apikey", "api_keys", "private_key", "PrivateKey", "authorization", "Authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "cookies", "cvv", "card.cvv", "CVV2",
		"password_", "_password", "pässword_password",
	} {
		if !isSecret(name) {
			t.Errorf("%q is no secret", name)
		}
	}
	for _, name := range []string{
		"", "p", "pass", "word", "token", "key", "session", "code", "password_changed_at", "passwordChangedAt", "password_expires", "PASSWORD_COUNT", "api_key_id",
		"apiKeyID", "cookie_policy", "secretary", "passwordless", "mypassword1x", "compassword", "secretion", "cookiejar", "authorizations_used",
		"access", "accesstokens_at", "refresh", "private", "api", "user", "order", "amount", "cv", "cvvv",
	} {
		if isSecret(name) {
			t.Errorf("%q is a secret", name)
		}
	}
}

const canary = "c4n4ry"

// secretShapes are fields in which a canary stands under the name of a secret.
func secretShapes(name string) map[string]Fields {
	type inner struct {
		Password string
		Other    int
	}
	type tagged struct {
		P string `json:"client_secret"`
	}
	return map[string]Fields{
		"a text":               {name: canary},
		"bytes":                {name: []byte(canary)},
		"a named text":         {name: json.Number(canary)},
		"a list":               {name: []string{"a", canary}},
		"a list of lists":      {name: []any{[]any{canary}}},
		"a map below":          {name: map[string]any{"old": canary, "new": []any{canary}}},
		"a map around":         {"a": map[string]any{name: canary}},
		"maps around":          {"a": map[string]any{"b": []any{map[string]any{name: canary}}}},
		"another map":          {"a": map[string]string{name: canary}},
		"a map of bytes":       {"a": map[string][]byte{name: []byte(canary)}},
		"a form":               {"a": url.Values{name: {canary}}},
		"a header":             {"a": http.Header{name: {canary}}},
		"a pointer":            {"a": &map[string]any{name: canary}},
		"raw JSON":             {"a": json.RawMessage(`{"` + name + `":"` + canary + `"}`)},
		"raw JSON that is cut": {"a": json.RawMessage(`{"b":"` + strings.Repeat("x", 4000) + `","` + name + `":"` + canary + `"}`)},
		"a group of slog":      {"a": slog.GroupValue(slog.String(name, canary))},
		"an attribute":         {"a": slog.String(name, canary)},
		"a struct":             {"a": inner{Password: canary}},
		"a tagged struct":      {"a": []tagged{{canary}}},
		"an error":             {name: errors.New(canary)},
		"a Stringer":           {name: stringer{canary}},
		"a long text":          {name: strings.Repeat(canary, 10_000)},
		"a long text below":    {"a": map[string]any{name: strings.Repeat(canary, 10_000)}},
		"beside a long text":   {"z": strings.Repeat("z", 100_000), "a": map[string]any{name: canary, "y": strings.Repeat("y", 100_000)}},
		"a diff":               Diff(map[string]any{name: canary}, map[string]any{name: canary + "2"}),
	}
}

func TestNoSecretIsStored(t *testing.T) {
	shapes := 0
	for _, name := range []string{"password", "user_passwd", "passPhrase", "client-secret", "accessToken", "REFRESH_TOKEN", "X-Api-Key", "Authorization", "Set-Cookie", "cvv"} {
		for shape, fields := range secretShapes(name) {
			for _, limit := range []int{0, 1500} {
				shapes++
				var log bytes.Buffer
				var stored bytes.Buffer
				rec := newTestRecorder(t, NewConsole(&stored, JSONLines()), Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), MaxEventBytes: limit})
				if err := rec.Audit(t.Context(), "x", fields, As("me")); err != nil {
					t.Fatalf("%s: %v", shape, err)
				}
				if both := stored.String() + log.String(); strings.Contains(both, canary) || strings.Contains(both, "YzRuNHJ5") || strings.Contains(both, "633466347279") {
					t.Errorf("%s under %s, at most %d bytes: stored %.300s, logged %s", shape, name, limit, stored.String(), log.String())
				}
				if !strings.Contains(stored.String(), hiddenText) && limit == 0 {
					t.Errorf("%s under %s: nothing is hidden in %.300s", shape, name, stored.String())
				}
			}
		}
	}
	if shapes < 200 {
		t.Errorf("only %d shapes", shapes)
	}
}

func TestSecretsLeaveOthersAlone(t *testing.T) {
	now := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	fields := Fields{"password": true, "cookie": now, "password_changed_at": "yesterday", "token": "t", "key": "k", "list": []any{"a", map[string]any{"b": 1}}}
	event, err := auditOne(t, Config{}, signedBy("me"), fields)
	if want := (Event{Fields: fields}).Normalize(0).Fields; err != nil || fmt.Sprint(event.Fields) != fmt.Sprint(want) {
		t.Errorf("got %v, %v; want %v", event.Fields, err, want)
	}
}

func TestHidingIsWarnedOfOnceAName(t *testing.T) {
	var log bytes.Buffer
	rec := newTestRecorder(t, &testStore{}, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		wantErr(t, rec.Audit(t.Context(), "x", Fields{"password": "a", "b": map[string]any{"cookie": "c"}, "secret": nil, "cvv": false}, As("me")))
	}
	if got := strings.Count(log.String(), "WARN"); got != 2 || !strings.Contains(log.String(), "Config.Protect") {
		t.Errorf("%d warnings: %s", got, &log)
	}
}

func TestProtect(t *testing.T) {
	shout := func(name string, v any) any {
		if s, ok := v.(string); ok {
			return strings.ToUpper(s)
		}
		return v
	}
	drop := func(name string, v any) any {
		if name == "drop" {
			return nil
		}
		return v
	}
	odd := func(name string, v any) any {
		if name == "odd" {
			return struct{ N int }{7}
		}
		return v
	}
	fail := func(name string, v any) any {
		if name == "fail" {
			panic(v)
		}
		return v
	}
	var log bytes.Buffer
	cfg := Config{Protect: []func(string, any) any{fail, shout, drop, odd}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	fields := Fields{"a": "x", "b": map[string]any{"c": "y", "drop": 1}, "drop": 1, "odd": 1, "fail": "hunter2", "password": "p"}
	event, err := auditOne(t, cfg, signedBy("me"), fields, On("order", "o"), Denied("why"))
	want := Fields{"a": "X", "b": map[string]any{"c": "Y"}, "odd": map[string]any{"N": int64(7)}, "fail": hiddenText, "password": "P"}
	if err != nil || fmt.Sprint(event.Fields) != fmt.Sprint(want) || event.Target != "order/O" || event.Reason != "WHY" || event.User != "me" {
		t.Errorf("got %+v, %v", event, err)
	}
	if fields["b"].(map[string]any)["c"] != "y" {
		t.Error("the caller's map was changed")
	}
	if strings.Count(log.String(), "WARN") != 1 {
		t.Errorf("logged %s", &log)
	}
	if event, err = auditOne(t, Config{Protect: []func(string, any) any{}}, signedBy("me"), Fields{"password": "p"}); err != nil || event.Fields["password"] != "p" {
		t.Errorf("with no protection: %+v, %v", event, err)
	}
}

func TestHidden(t *testing.T) {
	protect := []func(string, any) any{Keyed([]byte("a key"), "access token"), Hidden("pin", "Card-Number", "ключ"), Secrets, Keyed([]byte("a key"), "password")}
	hidden := Fields{
		"pin": 1234, "newPin": "1", "PIN_code": []byte{1}, "card_number": "4", "cardNumber": []any{"4"}, "ключ": "k", "password": "p",
		"pins": Diff(Fields{"pin": 1}, Fields{"pin": 2}), "in": map[string]any{"pin": 1},
	}
	rest := Fields{"pinned": "x", "spin": "x", "pin_count": 3, "number": 4, "card": "c", "Ключ": "k"}
	fields := Fields{"accessToken": "t"}
	maps.Copy(fields, hidden)
	maps.Copy(fields, rest)
	event, err := auditOne(t, Config{Protect: protect}, signedBy("me"), fields)
	if err != nil {
		t.Fatal(err)
	}
	for name := range hidden {
		if got := fmt.Sprint(event.Fields[name]); !strings.Contains(got, hiddenText) {
			t.Errorf("%s is stored as %s", name, got)
		}
	}
	want := Event{Fields: rest}.Normalize(0).Fields
	for name, v := range want {
		if event.Fields[name] != v {
			t.Errorf("%s is stored as %v", name, event.Fields[name])
		}
	}
	if got := fmt.Sprint(event.Fields["accessToken"]); !strings.HasPrefix(got, "hmac:") {
		t.Errorf("the token is stored as %s: the first function that changes a value decides", got)
	}
}

func TestWhatIsHiddenIsNotFound(t *testing.T) {
	store := &readStore{read: func(_ context.Context, q Query) (Page, error) { return Page{Events: []Event{{}}}, nil }}
	rec := newTestRecorder(t, store, Config{Protect: []func(string, any) any{Secrets, Keyed([]byte("a key"), "ssn")}})
	for _, c := range []struct {
		q    Query
		want int
	}{
		{Query{Fields: Fields{"password": "a guess"}}, 0}, {Query{Fields: Fields{"password": []any{"a guess"}}}, 0},
		{Query{Fields: Fields{"user": map[string]any{"password": "a guess"}}}, 0}, {Query{Target: "password/1"}, 0},
		{Query{Fields: Fields{"password": nil}}, 1}, {Query{Fields: Fields{"password": true}}, 1}, {Query{Fields: Fields{"password": hiddenText}}, 1},
		{Query{Fields: Fields{"ssn": "a guess"}}, 1}, {Query{Target: "order/1"}, 1},
	} {
		page, err := rec.Read(t.Context(), c.q)
		if len(page.Events) != c.want || errors.Is(err, ErrHidden) != (c.want == 0) || err != nil && (!strings.Contains(err.Error(), `"password"`) || strings.Contains(err.Error(), "guess")) {
			t.Errorf("%+v: %d events, %v; want %d", c.q, len(page.Events), err, c.want)
		}
	}
}

func TestKeyedValuesAreFound(t *testing.T) {
	store := &readStore{}
	protect := []func(string, any) any{Keyed([]byte("a key"), "ssn", "account")}
	rec := newTestRecorder(t, store, Config{Protect: protect})
	var saved []Event
	store.onSave = func(_ context.Context, events []Event) error {
		saved = append(saved, events...)
		return nil
	}
	for _, v := range []any{"078", 78, 78.0, "78", map[string]any{"old": "078"}, true} {
		wantErr(t, rec.Audit(t.Context(), "x", Fields{"ssn": v}, As("me"), On("account", "078")))
	}
	store.read = func(_ context.Context, q Query) (Page, error) { return q.Page(saved) }
	for _, c := range []struct {
		q    Query
		want int
	}{
		{Query{Fields: Fields{"ssn": "078"}}, 1}, {Query{Fields: Fields{"ssn": 78}}, 3}, {Query{Fields: Fields{"ssn": "79"}}, 0},
		{Query{Fields: Fields{"ssn": true}}, 1}, {Query{Fields: Fields{"ssn": nil}}, 0}, {Query{Target: "account/078"}, 6}, {Query{Target: "account/1"}, 0},
	} {
		if page, err := rec.Read(t.Context(), c.q); err != nil || len(page.Events) != c.want {
			t.Errorf("%+v: %d events, %v; want %d", c.q, len(page.Events), err, c.want)
		}
	}
	for _, e := range saved {
		if text := string(e.AppendJSON(nil)); strings.Contains(text, "078") || strings.Contains(text, `"78`) || strings.Contains(text, `:78`) {
			t.Errorf("stored %s", text)
		}
	}
	if Keyed(nil, "ssn")("ssn", "078") != hiddenText {
		t.Error("without a key the value shows")
	}
}

func FuzzIsSecret(f *testing.F) {
	for _, name := range []string{"password", "userPassword", "API-KEY", "password_changed_at", "_secret", "\xffcvv"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		isSecret(name)
		if lower, upper := strings.ToLower(name), strings.ToUpper(name); utf8.RuneCountInString(lower) == len(upper) && isSecret(lower) != isSecret(upper) {
			t.Errorf("%q: %v, %q: %v", lower, isSecret(lower), upper, isSecret(upper))
		}
	})
}
