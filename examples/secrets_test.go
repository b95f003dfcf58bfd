package examples

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/spool"
	"github.com/auditing-go/auditing/stores/sqlite"
)

// TestNoSecretOnDisk plants secrets in 200 shapes and looks for them in every byte of SQLite's
// files, of a spool whose store is away, on the console, in the log and in the errors of audits.
func TestNoSecretOnDisk(t *testing.T) {
	const canary, plain = "c4n4ry-of-a-secret", "in plain sight"
	names := []string{
		"password", "PASSWORD", "newPassword", "password_hash", "user.passwd", "passPhrase", "secret", "client-secret", "accessToken", "ACCESS_TOKEN",
		"refresh token", "REFRESH_TOKEN", "api_key", "X-Api-Key", "apikey", "privateKey", "Authorization", "Proxy-Authorization", "Set-Cookie", "cvv",
	}
	shapes := []func(name string) any{
		func(string) any { return canary },
		func(string) any { return []byte(canary) },
		func(string) any { return []any{1, canary} },
		func(string) any { return map[string]any{"old": canary, "new": canary + "2"} },
		func(string) any { return errors.New(canary) },
		func(name string) any { return core.Fields{"a": map[string]any{name: canary}} },
		func(name string) any { return core.Fields{"a": url.Values{name: {canary}}} },
		func(name string) any { return core.Fields{"a": json.RawMessage(`{"` + name + `":"` + canary + `"}`)} },
		func(name string) any { return core.Fields{"a": slog.GroupValue(slog.String(name, canary))} },
		func(name string) any { return core.Diff(core.Fields{name: canary}, core.Fields{name: canary + "2"}) },
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sqlite"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log, console bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	table, err := sqlite.Open(t.Context(), filepath.Join(dir, "sqlite", "audits.db"), sqlite.Config{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	disk, err := spool.Open(filepath.Join(dir, "spool"), unreachable{}, spool.Config{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	var refused bytes.Buffer // the texts of errors
	for _, store := range []core.Store{table, disk, core.NewConsole(&console)} {
		audit := func(cfg core.Config, fields core.Fields, options ...core.Option) {
			cfg.Logger = logger
			rec, err := core.New(store, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := rec.Audit(t.Context(), "x", fields, append(options, core.As("me"))...); err != nil {
				fmt.Fprintln(&refused, err)
			}
		}
		for _, name := range names {
			for _, shape := range shapes {
				fields, ok := shape(name).(core.Fields)
				if !ok {
					fields = core.Fields{name: shape(name)}
				}
				fields["note"] = plain
				audit(core.Config{}, fields)
			}
			audit(core.Config{}, nil, core.On(asKind(name), canary))
			audit(core.Config{}, nil, core.On(name+"!", canary)) // is refused
			audit(core.Config{}, nil, core.On(name, []string{canary}))
			audit(core.Config{Enrich: func(_ context.Context, e *core.Event) {
				e.Fields, e.Target = core.Fields{name: canary}, asKind(name)+"/"+canary
			}}, nil)
		}
		// Reasons are the application's words: they are hidden where it says so.
		reasons := core.Config{Protect: []func(string, any) any{core.Secrets, core.Hidden("reason")}}
		for _, result := range []core.Option{core.Denied(canary), core.Failed(canary), core.Result(errors.New(canary))} {
			audit(reasons, core.Fields{"password": canary}, result, core.On("password", canary))
		}
		audit(reasons, nil, core.Denied(canary), core.Failed(canary))
	}
	if n := bytes.Count(refused.Bytes(), []byte("\n")); n < 2*3*len(names) {
		t.Errorf("only %d audits were refused:\n%s", n, refused.String())
	}
	written := map[string][]byte{"the log": log.Bytes(), "the console": console.Bytes(), "an error": refused.Bytes()}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			written[filepath.Base(filepath.Dir(path))+"/"+d.Name()], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for where, data := range written {
		for _, text := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary)), hex.EncodeToString([]byte(canary))} {
			if i := bytes.Index(data, []byte(text[:len(text)-4])); i >= 0 {
				t.Errorf("in %s: %.200q", where, data[max(0, i-100):])
			}
		}
		if bytes.Contains(data, []byte(plain)) {
			place, _, _ := strings.Cut(where, "/")
			seen[place] = true
		}
	}
	if len(seen) != 3 {
		t.Errorf("what is no secret was found on %v: were all three looked through?", seen)
	}
	for _, s := range []core.Closer{disk, table} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		_ = s.Close(ctx) // what waits in the spool cannot go on
		cancel()
	}
}

var wordEnd = regexp.MustCompile("([a-z])([A-Z])")

// asKind makes a kind of a target of a name, with the same words.
func asKind(name string) string {
	return strings.ToLower(strings.ReplaceAll(wordEnd.ReplaceAllString(name, "${1}_$2"), " ", "_"))
}

// unreachable is a store that cannot be reached.
type unreachable struct{}

func (unreachable) Save(_ context.Context, events []core.Event) error {
	return core.FailAll(len(events), core.Failure{Err: errors.New("away"), Retry: true})
}
