package esstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// verdict says what a bulk request as a whole came to.
type verdict int

const (
	answered  verdict = iota // every item has a status of its own
	again                    // worth another try
	tooLarge                 // of fewer bytes it may be taken
	refused                  // something in it is at fault
	forbidden                // no event at all would be taken
)

// reply is the answer to one bulk request.
type reply struct {
	verdict verdict
	items   []itemReply // of answered; nil when all are created
	err     error       // of the others
	reason  *serverError
	unknown bool          // of again: it may have been carried out
	after   time.Duration // of again: what the server asks to wait
}

// itemReply is what became of one document.
type itemReply struct {
	Status int          `json:"status"`
	Error  *serverError `json:"error"`
}

// fate sorts the status of one document into a verdict. Answered is stored.
func (r itemReply) fate() verdict {
	switch {
	case r.Status == http.StatusOK, r.Status == http.StatusCreated, r.Status == http.StatusConflict:
		return answered // 409: an event of this id is there already
	case r.Status == http.StatusRequestTimeout, r.Status == http.StatusTooManyRequests, r.Status >= 500, r.blocked():
		return again
	case r.Status == http.StatusUnauthorized, r.Status == http.StatusForbidden, r.Status == http.StatusNotFound:
		return forbidden
	case r.Status >= 400:
		return refused
	}
	return again // no status that the servers document
}

// blocked reports whether an index is closed to writing for a while, as on a full disk.
func (r itemReply) blocked() bool {
	return r.Status == http.StatusForbidden && r.Error != nil && r.Error.Type == "cluster_block_exception"
}

// bulk sends one body of n documents.
func (s *Store) bulk(ctx context.Context, body []byte, n int) (r reply, reusable bool) {
	s.count.requests.Add(1)
	// The server must not wait for a shard longer than we wait for the server.
	wait := s.attemptTime(ctx) * 4 / 5
	path := "/_bulk"
	if s.cfg.Route == nil {
		path = "/" + s.cfg.Index + "/_bulk"
	}
	a, reusable, err := s.do(ctx, request{
		method: http.MethodPost, path: path, contentType: ndjsonType, body: body, limit: maxAnswer,
		query: "filter_path=errors,error,items.create.status,items.create.error&timeout=" + strconv.FormatInt(max(1, wait.Milliseconds()), 10) + "ms",
	})
	if err != nil {
		return reply{verdict: again, err: fmt.Errorf("auditing: %w", err), unknown: !notSent(err)}, reusable
	}
	return readReply(a, n), reusable
}

var errUnreadable = errors.New("auditing: the server's answer cannot be read, or is not about every event")

// allCreated reports whether body says, in the servers' own form, that n documents were
// created, which is nearly always so.
func allCreated(body []byte, n int) bool {
	const begin, one, end = `{"errors":false,"items":[`, `{"create":{"status":201}}`, `]}`
	if n == 0 || len(body) != len(begin)+n*(len(one)+1)-1+len(end) || string(body[:len(begin)]) != begin {
		return false
	}
	for body = body[len(begin):]; string(body[:len(one)]) == one; body = body[len(one)+1:] {
		if n--; n == 0 {
			return string(body[len(one):]) == end
		}
		if body[len(one)] != ',' {
			return false
		}
	}
	return false
}

func readReply(a answer, n int) reply {
	if a.status == http.StatusOK {
		if allCreated(a.body, n) {
			return reply{verdict: answered}
		}
		var body struct {
			Items []struct {
				Create *itemReply `json:"create"`
			} `json:"items"`
		}
		r := reply{verdict: answered, items: make([]itemReply, n)}
		if json.Unmarshal(a.body, &body) != nil || len(body.Items) != n {
			return reply{verdict: again, err: errUnreadable, unknown: true}
		}
		for i, item := range body.Items {
			if item.Create == nil || item.Create.Status == 0 {
				return reply{verdict: again, err: errUnreadable, unknown: true}
			}
			r.items[i] = *item.Create
		}
		return r
	}
	failure := a.failure()
	r := reply{err: fmt.Errorf("auditing: %w", failure), reason: failure.reason, after: a.retryAfter()}
	whole := itemReply{Status: a.status, Error: failure.reason}
	switch {
	case a.status == http.StatusRequestEntityTooLarge:
		r.verdict = tooLarge
	case a.status < 400:
		// Neither a redirect nor another success says anything about the events.
		r.verdict, r.unknown = again, true
	default:
		r.verdict = whole.fate()
		if r.verdict == answered { // 409 means this only for one document
			r.verdict = refused
		}
		r.unknown = a.status >= 500 || a.status == http.StatusRequestTimeout
	}
	return r
}
