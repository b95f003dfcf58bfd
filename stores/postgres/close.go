package postgres

import (
	"context"
	"fmt"
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

// end closes each connection for writing as soon as nothing runs on it, however long that takes.
func (b *backend) end() error {
	for range b.writers.len() {
		<-b.writers.free
		b.writers.take().discard()
		b.closed.Add(1)
	}
	b.wg.Wait()
	_ = b.conns.close()
	if b.own {
		return b.pool.Close()
	}
	return nil
}

// underWay says what end still waits for.
func (b *backend) underWay() string {
	var what []string
	if n := b.writers.len() - int(b.closed.Load()); n > 0 {
		what = append(what, fmt.Sprintf("%d of %d connections for writing", n, b.writers.len()))
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
