package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/auditing-go/auditing/core"
)

// outage is a way to take from a place what it needs.
type outage struct {
	name  string
	begin func(t *testing.T, store core.Store) (end func())
}

// outageTime is what a Save is given during an outage: a store may use it up.
const outageTime = time.Second

func waitedOut(p *place, o outage) {
	saved := eventsOf(3, "known")
	p.save(saved...)
	end := o.begin(p.T, p.store)
	late := append(eventsOf(3, "known"), eventsOf(2, "new")...)
	ctx, cancel := context.WithTimeout(p.Context(), outageTime)
	defer cancel()
	err := p.trySave(ctx, late)
	end()
	if err == nil {
		p.holdsAll(append(saved, late...))
		p.Fatal("Save during the outage stored everything: it is no outage")
	}
	p.notRefused("during the outage", err)
	p.checkOutcome("during the outage", late, err)
	// A store may leave what was away alone for a while.
	again, cancelAgain := context.WithTimeout(p.Context(), patience)
	defer cancelAgain()
	for {
		if err = p.trySave(again, late); err == nil {
			break
		}
		p.notRefused("after the outage", err)
		select {
		case <-again.Done():
			p.broken(ruleAgain, "%s after the outage: %v", patience, err)
			p.FailNow()
		case <-time.After(outageTime / 20):
		}
	}
	p.holdsAll(append(saved, late...))
}

// notRefused reports events of usual content that are refused.
func (p *place) notRefused(name string, err error) {
	p.Helper()
	var batch *core.BatchError
	if !errors.As(err, &batch) {
		return
	}
	for _, f := range batch.Failures {
		if f.Refused() {
			p.broken(ruleRefused, "%s: event %d is refused: %v", name, f.Index, f.Err)
			return
		}
	}
}
