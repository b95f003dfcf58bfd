package core

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

type tenantKey struct{}

func TestTenant(t *testing.T) {
	boom := errors.New("boom")
	fromContext := func(ctx context.Context) (string, error) {
		tenant, ok := ctx.Value(tenantKey{}).(string)
		if !ok {
			return "", boom
		}
		return tenant, ctx.Err()
	}
	var event Event
	rec := newTestRecorder(t, &testStore{onSave: func(_ context.Context, events []Event) error {
		event = events[0]
		return nil
	}}, Config{Tenant: fromContext})
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), tenantKey{}, "acme"))
	cancel() // the client has left
	if err := rec.Audit(ctx, "x", Fields{"tenant": "forged"}, As("me")); err != nil || event.Tenant != "acme" {
		t.Errorf("got %+v, %v", event, err)
	}
	if err := rec.Audit(t.Context(), "x", nil, As("me")); !errors.Is(err, boom) {
		t.Errorf("no tenant: %v", err)
	}
	if _, err := auditOne(t, Config{Tenant: func(context.Context) (string, error) { panic("no") }}, signedBy("me"), nil); err == nil || !strings.Contains(err.Error(), "Config.Tenant") {
		t.Errorf("a panic: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) (string, error) { <-ctx.Done(); return "late", nil }
		if event, err := auditOne(t, Config{Tenant: slow}, signedBy("me"), nil); !errors.Is(err, ErrTimeout) || event.Tag != "" {
			t.Errorf("too late: %+v, %v", event, err)
		}
	})
}

func TestEnrich(t *testing.T) {
	enrich := func(_ context.Context, e *Event) {
		e.Fields["region"] = "eu"
		e.Tenant, e.Target, e.Outcome, e.Reason = "acme", "order/1", OutcomeSuccess, "r"
		e.Request.Route = "/refund"
		e.ID, e.User, e.OnBehalfOf, e.Service, e.First = uuid.Max, "forged", "forged", "forged", false
	}
	fields := Fields{"a": 1}
	request := &Request{Path: "/refund"}
	origin := testOrigin{user: signedBy("me").user, request: func(context.Context) *Request { return request }}
	event, err := auditOne(t, Config{Enrich: enrich, Service: "shop"}, origin, fields, Denied("no"))
	if err != nil || len(fields) != 1 || request.Route != "" {
		t.Fatalf("%v; the caller's fields are %v, the request's %+v", err, fields, request)
	}
	if event.Fields["region"] != "eu" || event.Fields["a"] != int64(1) || event.Tenant != "acme" || event.Target != "order/1" || event.Outcome != OutcomeSuccess || event.Request.Route != "/refund" {
		t.Errorf("got %+v", event)
	}
	if event.ID == uuid.Max || event.User != "me" || event.OnBehalfOf != "" || event.Service != "shop" || !event.First {
		t.Errorf("forged: %+v", event)
	}
	if event, err = auditOne(t, Config{Enrich: enrich}, origin, nil); err != nil || event.Fields["region"] != "eu" {
		t.Errorf("without fields: %+v, %v", event, err)
	}
	if _, err = auditOne(t, Config{Enrich: func(context.Context, *Event) { panic("no") }}, origin, nil); err == nil || !strings.Contains(err.Error(), "Config.Enrich") {
		t.Errorf("a panic: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		began := time.Now()
		event, err := auditOne(t, Config{Enrich: func(_ context.Context, e *Event) { <-hangs; e.Fields["late"] = true }}, origin, nil)
		if !errors.Is(err, ErrTimeout) || event.Tag != "" || time.Since(began) != DefaultTimeout {
			t.Errorf("too late: %+v, %v after %v", event, err, time.Since(began))
		}
		close(hangs)
	})
}

func TestLifecycle(t *testing.T) {
	var events []Event
	rec := newTestRecorder(t, &testStore{onSave: func(_ context.Context, batch []Event) error {
		events = append(events, batch...)
		return nil
	}}, Config{Lifecycle: true, Service: "shop"})
	wantErr(t, rec.Audit(t.Context(), "x", nil, As("me")))
	if err := rec.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(events) != 3 || events[0].Tag != "audit.start" || events[1].Tag != "x" || events[2].Tag != "audit.stop" {
		t.Fatalf("got %+v", events)
	}
	if start := events[0]; start.Service != "shop" || start.Fields["store"] != "*core.testStore" || start.Fields["version"] == nil {
		t.Errorf("started %+v", start)
	}
	if stop := events[2].Fields; stop["attempted"] != int64(2) || stop["stored"] != int64(2) || stop["failed"] != int64(0) {
		t.Errorf("stopped %+v", stop)
	}
	if s := rec.Stats(); s.Attempted != 3 || s.Stored != 3 || s.Pending != 0 {
		t.Errorf("%+v", s)
	}

	synctest.Test(t, func(t *testing.T) {
		down := newTestRecorder(t, &testStore{onSave: func(_ context.Context, batch []Event) error {
			return FailAll(len(batch), Failure{Err: errors.New("down"), Retry: true})
		}}, Config{Lifecycle: true, Logger: slog.New(slog.DiscardHandler)})
		if err := down.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "not stored") {
			t.Errorf("a store that is down: %v", err)
		}
	})
}
