package storetest

import (
	"context"
	"errors"

	"github.com/auditing-go/auditing/core"
)

func closing(p *place) {
	closer, ok := p.store.(core.Closer)
	if !ok {
		p.Skipf("%T is no core.Closer", p.store)
	}
	saved := eventsOf(100, "closing")
	p.save(saved...)
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	for _, which := range []string{"first", "second"} {
		if err := closer.Close(ctx); err != nil {
			p.broken(ruleCloseTwice, "the %s Close: %v", which, err)
		}
	}
	late := eventsOf(3, "late")
	err := p.trySave(p.Context(), late)
	if !errors.Is(err, core.ErrClosed) {
		p.broken(ruleClosed, "Save after Close returned %v", err)
	}
	p.notRefused("after Close", err)
	if page, err := p.reader.Read(p.Context(), core.Query{}); !errors.Is(err, core.ErrClosed) {
		p.broken(ruleClosed, "Read after Close gave %d events and %v", len(page.Events), err)
	}
	if p.suite.reopen == nil {
		return
	}
	again := p.another()
	var batch *core.BatchError
	if errors.As(err, &batch) {
		again.checkOutcome("closed", late, err)
	}
	again.same("what was saved before Close, through a new handle", ruleDurable, again.read(core.Query{Tag: "closing"}), newestFirst(saved))
}
