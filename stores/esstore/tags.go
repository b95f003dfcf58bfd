package esstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/auditing-go/auditing/core"
)

// tagsAtOnce is how many tags the server is asked for at once.
const tagsAtOnce = 1000

// Tags implements [core.TagLister], with every tag. What was written in the last second may be
// missing until [Store.Flush].
func (s *Store) Tags(ctx context.Context) ([]string, error) {
	ctx, leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	in, err := s.toSearch(ctx, core.Query{})
	r := reading{Store: s, searched: in}
	var tags []string
	for after := json.RawMessage(nil); err == nil && r.names() != ""; {
		var some []string
		if some, after, err = s.tagsBehind(ctx, r.names(), after); err != nil || len(some) == 0 {
			break
		}
		tags = append(tags, some...)
	}
	if err = errors.Join(err, r.err()); err != nil {
		err = fmt.Errorf("auditing: reading the tags in %s: %w", s.cfg.Index, err)
	}
	return tags, err
}

// tagsBehind returns the next tags in order, and what the following call wants as after.
func (s *Store) tagsBehind(ctx context.Context, indices string, after json.RawMessage) ([]string, json.RawMessage, error) {
	composite := object{"size": tagsAtOnce, "sources": []any{object{"tag": object{"terms": object{"field": "tag"}}}}}
	if after != nil {
		composite["after"] = after
	}
	var found struct {
		TimedOut     bool `json:"timed_out"`
		Aggregations struct {
			Tags struct {
				After   json.RawMessage `json:"after_key"`
				Buckets []struct {
					Key struct {
						Tag string `json:"tag"`
					} `json:"key"`
				} `json:"buckets"`
			} `json:"tags"`
		} `json:"aggregations"`
	}
	body := object{
		"size":  0,
		"query": object{"bool": object{"filter": filterOf(core.Query{}, false)}},
		"aggs":  object{"tags": object{"composite": composite}},
	}
	_, err := s.query(ctx, "/"+indices+"/_search", "ignore_unavailable=true&allow_no_indices=true&allow_partial_search_results=false", body, &found)
	if err == nil && found.TimedOut {
		err = errUnreadable
	}
	var tags []string
	for _, b := range found.Aggregations.Tags.Buckets {
		tags = append(tags, b.Key.Tag)
	}
	return tags, found.Aggregations.Tags.After, err
}
