package sqlstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/auditing-go/auditing/core"
)

const (
	// ownRows is how many of the newest rows of a tag's table are looked at for its tags,
	// which are hardly ever several.
	ownRows = 100
	// sharedRows is the same for the overflow table.
	sharedRows = 10_000
)

// Tags implements [core.TagLister], from the newest rows of each table: a hundred, and ten
// thousand of the overflow table.
func (s *Store) Tags(ctx context.Context) ([]string, error) {
	if s.closed.Load() {
		return nil, core.ErrClosed
	}
	tags, err := s.tags(ctx, false)
	if err != nil && s.backend.WhyUnread(err) == Stale && ctx.Err() == nil {
		tags, err = s.tags(ctx, true)
	}
	return tags, err
}

func (s *Store) tags(ctx context.Context, again bool) ([]string, error) {
	r := reading{Store: s, again: again, left: map[string]string{}}
	sources, err := r.sources(ctx)
	if err != nil {
		return nil, fmt.Errorf("auditing: reading the catalogue: %w", err)
	}
	rest := make([]part, len(sources))
	for i, src := range sources {
		rest[i] = part{source: src}
	}
	found := map[string]bool{}
	ask := func(ctx context.Context, parts []part) error {
		rows, err := r.backend.Query(ctx, true, nil, r.tagsQuery(parts))
		for _, row := range rows {
			if v, err := r.backend.Value(row[0], Text); err == nil {
				if tag, ok := v.(string); ok {
					found[tag] = true
				}
			}
		}
		return err
	}
	for len(rest) > 0 {
		some := firstGroup(rest, maxParts)
		if err := r.each(ctx, some, ask); err != nil {
			return nil, fmt.Errorf("auditing: reading tags: %w", err)
		}
		rest = rest[len(some):]
	}
	return slices.Sorted(maps.Keys(found)), r.leftOut()
}

// tagsQuery selects the tags in the newest rows of parts.
func (r *reading) tagsQuery(parts []part) string {
	queries := make([]string, len(parts))
	for i, p := range parts {
		rows := ownRows
		if p.rel.Name == r.overflowName() {
			rows = sharedRows
		}
		tag := literal(p.rel.Name) // of rows that others put there
		if _, ok := p.byName["audit_tag"]; ok {
			tag = "coalesce(" + r.typed(Column{Name: "audit_tag", Kind: Text}) + ", " + tag + ")"
		}
		n := strconv.Itoa(i)
		queries[i] = "SELECT * FROM (SELECT " + tag + " AS t FROM " + r.backend.Table(p.rel.Name) + ` ORDER BY "datetime" DESC LIMIT ` + strconv.Itoa(rows) + ") AS p" + n
	}
	return "SELECT DISTINCT " + r.backend.Select("t", Text) + " FROM (" + strings.Join(queries, " UNION ALL ") + ") AS p"
}
