package esstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// verdict says what a bulk request as a whole came to.
type verdict int

const (
	answered verdict = iota // every item has a status of its own
	again                   // worth another try later
	tooLarge                // of fewer bytes it may be taken
	rejected                // perhaps for something in one of the events
)

// reply is the answer to one bulk request.
type reply struct {
	verdict verdict
	items   []bulkItem    // of answered
	err     error         // of the others
	unknown bool          // of again: it may have been carried out
	after   time.Duration // what the server asks to wait
}

// bulkItem is an entry of the answer to one bulk request.
type bulkItem struct {
	Create itemReply `json:"create"`
}

// itemReply is what became of one document.
type itemReply struct {
	Status int          `json:"status"`
	Error  *serverError `json:"error"`
}

func (r itemReply) created() bool { return r.Status == http.StatusOK || r.Status == http.StatusCreated }

// conflict reports whether an event of this id is there already.
func (r itemReply) conflict() bool { return r.Status == http.StatusConflict }

// refused reports whether what the document holds is why it is not taken.
func (r itemReply) refused() bool {
	if r.Status != http.StatusBadRequest || r.Error == nil {
		return false
	}
	switch r.Error.Type {
	case "mapper_parsing_exception", "document_parsing_exception", "strict_dynamic_mapping_exception":
		return true
	case "illegal_argument_exception":
		// It says so of an alias without a write index and of a pipeline that is gone, too.
		return !strings.HasPrefix(r.Error.Reason, "no write index") && !strings.HasPrefix(r.Error.Reason, "pipeline with id")
	}
	return false
}

// uncertain reports whether what is answered with status may have been carried out.
func uncertain(status int) bool {
	return status < http.StatusBadRequest || status >= http.StatusInternalServerError || status == http.StatusRequestTimeout
}

// bulk sends one body of n documents.
func (s *Store) bulk(ctx context.Context, body []byte, n int) reply {
	s.count.requests.Add(1)
	// The server must not wait for a shard longer than we wait for the server.
	wait := s.attemptTime(ctx) * 4 / 5
	path := "/_bulk"
	if s.cfg.Route == nil {
		path = "/" + s.cfg.Index + "/_bulk"
	}
	a, err := s.do(ctx, request{
		method: http.MethodPost, path: path, contentType: ndjsonType, body: body, limit: maxAnswer,
		query: "filter_path=errors,error,items.create.status,items.create.error&timeout=" + strconv.FormatInt(max(1, wait.Milliseconds()), 10) + "ms",
	})
	if err != nil {
		return reply{verdict: again, err: fmt.Errorf("auditing: %w", err), unknown: !errors.Is(err, errNotSent)}
	}
	return readReply(a, n)
}

var errUnreadable = errors.New("the server's answer cannot be read, or is not about every event")

func readReply(a answer, n int) reply {
	if a.status == http.StatusOK {
		return readItems(a.body, n)
	}
	failure := a.failure()
	r := reply{verdict: again, err: fmt.Errorf("auditing: %w", failure), unknown: uncertain(a.status), after: a.retryAfter()}
	switch {
	case a.status == http.StatusRequestEntityTooLarge:
		r.verdict = tooLarge
	case a.status == http.StatusBadRequest, a.status == http.StatusForbidden && failure.reason == nil:
		// A filter in front of the server looks into the events, too.
		r.verdict = rejected
	}
	return r
}

// readItems reads an answer to n documents; one that is not about all of them says nothing.
func readItems(body []byte, n int) reply {
	var found struct {
		Items []bulkItem `json:"items"`
	}
	found.Items = make([]bulkItem, 0, n)
	silent := func(item bulkItem) bool { return item.Create.Status == 0 }
	if json.Unmarshal(body, &found) != nil || len(found.Items) != n || slices.ContainsFunc(found.Items, silent) {
		return reply{verdict: again, err: fmt.Errorf("auditing: %w", errUnreadable), unknown: true}
	}
	return reply{verdict: answered, items: found.Items}
}
