package esstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// health is about what others do to the cluster: templates that are deleted or
// overruled, indices that are made without one, settings that are changed.
type health struct {
	next atomic.Int64 // when to look again, in Unix nanoseconds
	mu   sync.Mutex
	said map[string]string // the last warning of each kind
}

// reviewEvery is how often a store looks whose Save is called.
const reviewEvery = time.Minute

// reviewWhenDue looks beside the Save that calls it.
func (s *Store) reviewWhenDue() {
	now, due := time.Now().UnixNano(), s.health.next.Load()
	if now < due || !s.health.next.CompareAndSwap(due, now+int64(reviewEvery)) {
		return
	}
	go func() {
		ctx, leave, err := s.enter(s.base)
		if err != nil {
			return
		}
		defer leave()
		s.review(ctx)
	}()
}

// review warns about what makes audits less durable, or what Read would not find.
func (s *Store) review(ctx context.Context) {
	s.health.next.Store(time.Now().UnixNano() + int64(reviewEvery))
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	var async []string
	seen, _ := s.seeIndices(ctx) // what fails now is seen in a minute
	for index, its := range seen {
		if isAsync(its.durability) {
			async = append(async, index)
		}
	}
	name := s.cfg.Index
	if s.cfg.Route != nil {
		name += "-1" // stands for all of them
	}
	if next, err := s.simulate(ctx, name); err == nil {
		if isAsync(next.Template.Settings.Index.Translog.Durability) {
			async = append(async, name)
		}
		s.reviewTemplate(name, next)
	} else if ctx.Err() == nil && s.cfg.NoTemplate {
		s.warn("template", "unseen", "auditing: cannot see whether an index template gives the index for audits its mapping", "template", templateName(s.cfg.Index), "reason", err)
	}
	slices.Sort(async)
	s.warn("durability", strings.Join(async, ", "), "auditing: the server acknowledges audits before they are on disk: set index.translog.durability to request", "indices", async)
	if _, unfit, err := s.unfitIndices(ctx, seen, allQuestions); err == nil {
		s.warnUnfit(unfit)
	}
}

// isAsync says that a write is acknowledged before it is synced.
func isAsync(durability string) bool { return strings.EqualFold(durability, "async") }

// warn logs a warning unless it is the last one of its kind; "" says that all is well.
func (s *Store) warn(kind, what, text string, args ...any) {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if s.health.said[kind] == what {
		return
	}
	if s.health.said == nil {
		s.health.said = map[string]string{}
	}
	if s.health.said[kind] = what; what != "" {
		s.logger().Warn(text, args...)
	}
}

// simulated is how the server would make an index now.
type simulated struct {
	Template struct {
		Settings struct {
			Index struct {
				Translog struct {
					Durability string `json:"durability"`
				} `json:"translog"`
			} `json:"index"`
		} `json:"settings"`
		Mappings property `json:"mappings"`
	} `json:"template"`
	Overlapping []struct {
		Name string `json:"name"`
	} `json:"overlapping"` // the templates that it did not take
}

type property struct {
	Type       string              `json:"type"`
	Properties map[string]property `json:"properties"`
}

func (p property) at(path string) string {
	for name := range strings.SplitSeq(path, ".") {
		p = p.Properties[name]
	}
	return p.Type
}

func (s *Store) simulate(ctx context.Context, index string) (t simulated, err error) {
	a, err := s.ask(ctx, request{method: http.MethodPost, path: "/_index_template/_simulate_index/" + index})
	if err == nil && a.status != http.StatusOK {
		err = a.failure()
	}
	if err == nil {
		err = json.Unmarshal(a.body, &t)
	}
	return t, err
}

func (s *Store) reviewTemplate(index string, next simulated) {
	ours := templateName(s.cfg.Index)
	what := ""
	for _, f := range neededFor(allQuestions) {
		if next.Template.Mappings.at(f.name) == f.kind {
			continue
		}
		what = fmt.Sprintf("the index template %s is not there, or has no such mapping: delete it, and start a program that may install it", ours)
		for _, o := range next.Overlapping {
			if o.Name == ours {
				what = fmt.Sprintf("another index template goes before %s: give it a lower priority, or patterns that do not match", ours)
			}
		}
		break
	}
	s.warn("template", what, "auditing: the next index for audits gets a mapping that is not made for them: events are refused, and Read leaves out what is in it",
		"index", index, "reason", what)
}

// neededField is one that Read filters or sorts by.
type neededField struct{ name, kind string }

// neededFor are the fields that a Read with these questions needs.
func neededFor(asked questions) []neededField {
	fields := []neededField{{"audit.micros", "long"}, {"event.id", "keyword"}}
	for i, c := range conditions {
		if asked&(1<<i) != 0 {
			fields = append(fields, neededField{c.field, c.kind})
		}
	}
	return fields
}

// unfitIndices lists the open indices of those that were seen, and tells of each in which
// the questions cannot be answered, why.
func (s *Store) unfitIndices(ctx context.Context, seen map[string]seenIndex, asked questions) (open []string, _ map[string]string, _ error) {
	needed := neededFor(asked)
	names := make([]string, len(needed))
	for i, f := range needed {
		names[i] = f.name
	}
	capabilities := func(where string) (answer, error) {
		return s.ask(ctx, request{
			method: http.MethodGet, path: "/" + where + "/_field_caps",
			query: "fields=" + strings.Join(names, ",") + "&include_unmapped=true&ignore_unavailable=true&allow_no_indices=true",
		})
	}
	a, err := capabilities(s.everywhere())
	if named := openOf(seen); err == nil && a.status == http.StatusForbidden && len(named) < len(seen) {
		// Elasticsearch 7 does not answer for a name behind which an index is closed.
		if len(named) == 0 {
			return nil, nil, nil
		}
		a, err = capabilities(strings.Join(named, ","))
	}
	if err != nil {
		return nil, nil, err
	}
	type capability struct {
		Searchable   bool     `json:"searchable"`
		Aggregatable bool     `json:"aggregatable"`
		Indices      []string `json:"indices"` // nil stands for all
	}
	var found struct {
		Indices []string                         `json:"indices"`
		Fields  map[string]map[string]capability `json:"fields"`
	}
	if a.status != http.StatusOK {
		return nil, nil, a.failure()
	}
	if json.Unmarshal(a.body, &found) != nil {
		return nil, nil, errUnreadable
	}
	unfit := map[string]string{}
	note := func(indices []string, reason string) {
		if indices == nil {
			indices = found.Indices
		}
		for _, index := range indices {
			if unfit[index] == "" {
				unfit[index] = reason
			}
		}
	}
	for _, f := range needed {
		if found.Fields[f.name] == nil {
			note(nil, f.name+" is "+unmapped)
		}
		for kind, its := range found.Fields[f.name] {
			if kind != f.kind {
				note(its.Indices, fmt.Sprintf("%s is %s, not %s", f.name, kind, f.kind))
			} else if !its.Searchable || !its.Aggregatable {
				note(its.Indices, f.name+" cannot be searched or sorted by")
			}
		}
	}
	return found.Indices, unfit, nil
}

const unmapped = "unmapped"

func (s *Store) warnUnfit(unfit map[string]string) {
	var list []string
	for _, index := range slices.Sorted(maps.Keys(unfit)) {
		list = append(list, index+": "+unfit[index])
	}
	s.warn("indices", strings.Join(list, ", "), "auditing: what is in these indices cannot be read: they were made without the index template for audits: "+copyIt,
		"indices", list, "template", templateName(s.cfg.Index))
}

const copyIt = `copy each into one that is made with it (see "An index without its mapping" in the README of stores/esstore)`
