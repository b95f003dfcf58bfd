package esstore

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// flushToDisk has every copy of the named indices sync to disk what it holds. A flush
// of Lucene first syncs the translog; it is the only request that does so without
// writing a document, and is nothing to do where everything is on disk.
func (s *Store) flushToDisk(ctx context.Context, names []string) error {
	a, err := s.do(ctx, request{
		method: http.MethodPost, path: "/" + strings.Join(names, ",") + "/_flush",
		query: "wait_if_ongoing=true&ignore_unavailable=true&allow_no_indices=true",
	})
	switch {
	case err != nil:
	case a.status == http.StatusForbidden:
		err = fmt.Errorf("%w (maintenance, or indices:admin/flush): without it nobody can tell that an event which is there already is on disk", a.failure())
	case a.status != http.StatusOK:
		err = a.failure()
	default:
		_, err = shardsOf(a.body)
	}
	if err != nil {
		return fmt.Errorf("auditing: having the server sync %s: %w", strings.Join(names, ", "), err)
	}
	return nil
}

// shards are those that an answer comes from.
type shards struct {
	Total  int `json:"total"`
	Failed int `json:"failed"`
}

// shardsOf is an error when an answer does not come from all that were asked.
func shardsOf(body []byte) (asked int, err error) {
	var found struct {
		Shards *shards `json:"_shards"`
	}
	if err := json.Unmarshal(body, &found); err != nil || found.Shards == nil {
		return 0, errUnreadable
	}
	if n := found.Shards.Failed; n > 0 {
		err = fmt.Errorf("%d shards failed", n)
	}
	return found.Shards.Total, err
}
