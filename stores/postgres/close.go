package postgres

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/auditing-go/auditing/stores/internal/sqlstore"
)

// Close waits for the writes under way and closes the connections that are ours.
func (b *backend) Close(ctx context.Context) error {
	b.mu.Lock()
	b.cancel() // from now on nothing is taken over
	b.mu.Unlock()
	return sqlstore.CloseWithin(ctx, b.end, b.underWay)
}

// end closes the connection for writing as soon as nothing runs on it, however long that takes.
func (b *backend) end() error {
	(<-b.writer).discard()
	b.closed.Store(true)
	b.wg.Wait()
	_ = b.conns.close()
	if b.conns.app != nil {
		return nil
	}
	return b.pool.Close()
}

// underWay says what end still waits for.
func (b *backend) underWay() string {
	var what []string
	if !b.closed.Load() {
		what = append(what, "a write")
	}
	b.mu.Lock()
	tables := slices.Sorted(maps.Keys(b.adopting))
	b.mu.Unlock()
	for _, table := range tables {
		what = append(what, "the taking over of table "+table)
	}
	if what == nil {
		what = []string{"the connections for reading"}
	}
	return strings.Join(what, ", ")
}
