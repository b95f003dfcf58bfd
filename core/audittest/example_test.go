package audittest_test

import (
	"context"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/audittest"
)

// refund is the code under test.
func refund(ctx context.Context, rec *core.Recorder, order int) error {
	return rec.Audit(ctx, "refund", core.Fields{"order": order}, core.As("alice"))
}

// In a test of its own this function would be called TestRefund.
func ExampleNew() {
	_ = func(t *testing.T) {
		rec := audittest.New(t)
		if err := refund(t.Context(), rec.Recorder(), 42); err != nil {
			t.Fatal(err)
		}
		if e := rec.Last("refund"); e.User != "alice" || e.Fields["order"] != int64(42) {
			t.Errorf("audited %+v", e)
		}
	}
}
