package core

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// nilContext is a framework's context of which a handler has only a nil pointer.
type nilContext struct{ context.Context }

func TestContextThatCannotBeUsed(t *testing.T) {
	setDefault(t, nil)
	var typedNil *nilContext
	for name, ctx := range map[string]context.Context{
		"nil pointer":   typedNil,
		"around it":     context.WithValue(typedNil, ctxKey{}, 1),
		"nothing in it": nilContext{},
	} {
		t.Run(name, func(t *testing.T) {
			rec := newTestRecorder(t, &testStore{}, Config{})
			setDefault(t, rec)
			detached := Detach(ctx)
			for what, err := range map[string]error{
				"Audit":          Audit(ctx, "x", nil, As("alice")),
				"Recorder.Audit": rec.Audit(ctx, "x", nil, As("alice")),
				"Detach":         Audit(detached, "x", nil),
			} {
				var audit *AuditError
				if !errors.As(err, &audit) || audit.Tag != "x" || !strings.Contains(err.Error(), "nilContext") && !strings.Contains(err.Error(), "valueCtx") || !strings.Contains(err.Error(), "pass the one that the handler was given") {
					t.Errorf("%s: %v", what, err)
				}
			}
			wantStats(t, rec, Stats{Attempted: 3, Failed: 3})
			if HasOrigin(ctx) {
				t.Error("it has an origin")
			}
			wantErr(t, Audit(NewContext(ctx, rec, signedBy("alice")), "x", nil)) // it is not asked
			if name == "around it" {
				return // Done of such a context does not ask the inner one
			}
			for what, err := range map[string]error{"Flush": rec.Flush(ctx), "Close": rec.Close(ctx)} {
				if err == nil || !strings.Contains(err.Error(), "nilContext") {
					t.Errorf("%s: %v", what, err)
				}
			}
			wantErr(t, Audit(t.Context(), "x", nil, As("alice"))) // nothing was closed
		})
	}
}
