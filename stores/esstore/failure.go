package esstore

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serverError is what a server gives as the reason of a failure.
type serverError struct {
	Type     string       `json:"type"`
	Reason   string       `json:"reason"`
	CausedBy *serverError `json:"caused_by"`
}

// text is the whole reason.
func (e *serverError) text() string {
	var parts []string
	for ; e != nil && len(parts) < 5; e = e.CausedBy {
		parts = append(parts, strings.TrimPrefix(e.Type+": "+e.Reason, ": "))
	}
	return strings.Join(parts, ", caused by ")
}

// valueAt is where a server's reason begins to quote a document.
const valueAt = "Preview of field's value"

// public is the reason without what it quotes of a document.
func (e *serverError) public() string {
	if e == nil {
		return "no reason given"
	}
	text, _, _ := strings.Cut(e.Reason, valueAt)
	const most = 300
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.TrimSpace(strings.TrimPrefix(e.Type+": "+text, ": "))
}

// statusError is an answer that is no success.
type statusError struct {
	status int
	reason *serverError // nil when the answer is none of Elasticsearch or OpenSearch
}

func (a answer) failure() *statusError {
	e := &statusError{status: a.status}
	var body struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(a.body, &body) == nil && len(body.Error) > 0 {
		reason := &serverError{}
		if json.Unmarshal(body.Error, reason) == nil && reason.Type != "" {
			e.reason = reason
		} else if json.Unmarshal(body.Error, &reason.Reason) == nil {
			e.reason = reason
		}
	}
	return e
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("the server answered %d %s", e.status, http.StatusText(e.status))
	switch {
	case e.reason != nil:
		text += ": " + e.reason.public()
	case e.status == http.StatusUnauthorized, e.status == http.StatusRequestEntityTooLarge, e.status >= http.StatusInternalServerError:
	default:
		text += ", but not as Elasticsearch or OpenSearch does: look at what stands in front of it, and at the host and the path in the DSN"
	}
	return text + e.hint()
}

// hint says what to do.
func (e *statusError) hint() string {
	kind := ""
	if e.reason != nil {
		kind = e.reason.Type
	}
	switch {
	case kind == "index_closed_exception", kind == "cluster_block_exception" && strings.Contains(e.reason.Reason, "index closed"):
		return ": open the index"
	case kind == "cluster_block_exception":
		return ": free space on its disks, or take the block away"
	case kind == "validation_exception":
		return ": delete old indices, or raise cluster.max_shards_per_node"
	case e.status == http.StatusUnauthorized:
		return ": give a user and password or an api_key that the server knows"
	case e.status == http.StatusForbidden && e.reason != nil:
		return ": give the user the right to do that (the README of stores/esstore lists what is needed)"
	case e.status == http.StatusNotFound && e.reason != nil:
		return ": create the index, or let the server create it (action.auto_create_index)"
	case e.status == http.StatusRequestEntityTooLarge:
		return ": raise the limit of a request's body"
	}
	return ""
}

// retryAfter is what the server asks to wait, 0 when it does not.
func (a answer) retryAfter() time.Duration {
	value := a.header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return min(max(0, time.Duration(seconds)*time.Second), maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(0, time.Until(at)), maxRetryAfter)
	}
	return 0
}

// maxRetryAfter is the longest that a server is left alone for its asking: an audit has
// only seconds, and who asks for an hour may be back in one.
const maxRetryAfter = 2 * time.Second
