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
		err = shardsFailed(a.body)
	}
	if err != nil {
		return fmt.Errorf("auditing: having the server sync %s: %w", strings.Join(names, ", "), err)
	}
	return nil
}

// shardsFailed is an error when an answer comes from a part of the shards only.
func shardsFailed(body []byte) error {
	var counts struct {
		Shards *struct {
			Failed int `json:"failed"`
		} `json:"_shards"`
	}
	if err := json.Unmarshal(body, &counts); err != nil || counts.Shards == nil {
		return errUnreadable
	}
	if counts.Shards.Failed > 0 {
		return fmt.Errorf("%d shards failed", counts.Shards.Failed)
	}
	return nil
}
