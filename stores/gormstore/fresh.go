package gormstore

import (
	"bytes"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
)

// fresh reports whether an event of t's cannot be in the overflow table.
func (sv *saving) fresh(t *Table, i int) bool {
	id := sv.events[i].ID
	return !sv.doubt[i] && t.fresh(id) && !inDoubt(id)
}

// lastDoubt is the newest id when a write last failed in a way that may have left an
// event in another place than its table. It is the process's, as the ids are: two
// stores may be given the same event.
var lastDoubt atomic.Pointer[uuid.UUID]

func markDoubt() {
	id := core.Event{}.Normalize(0).ID
	for {
		last := lastDoubt.Load()
		if last != nil && bytes.Compare(last[:], id[:]) >= 0 || lastDoubt.CompareAndSwap(last, &id) {
			return
		}
	}
}

// inDoubt reports whether an event of this process is older than the last doubt.
func inDoubt(id uuid.UUID) bool {
	last := lastDoubt.Load()
	return last != nil && bytes.Compare(id[:], last[:]) <= 0
}
