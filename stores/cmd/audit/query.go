package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// queryFlags are the conditions on events.
func queryFlags(set *flag.FlagSet) *core.Query {
	q := &core.Query{}
	set.StringVar(&q.Tag, "tag", "", "events of this `tag`")
	set.StringVar(&q.User, "user", "", "of this acting `user`")
	set.BoolVar(&q.Anonymous, "anonymous", false, "of nobody who was signed in")
	set.StringVar(&q.OnBehalfOf, "for", "", "on behalf of this `user`")
	set.StringVar(&q.Target, "resource", "", "done to this `resource`, such as order/42")
	set.StringVar((*string)(&q.Outcome), "outcome", "", "with this `outcome`: success, denied or failure")
	set.StringVar(&q.Reason, "reason", "", "with this `reason`")
	set.StringVar(&q.Tenant, "tenant", "", "of this `tenant`")
	set.StringVar(&q.IP, "ip", "", "from this `address`")
	set.StringVar(&q.RequestID, "request", "", "of the request with this `id`")
	set.Func("id", "the event with this `id`", func(s string) (err error) {
		q.ID, err = uuid.Parse(s)
		return err
	})
	set.Func("from", "from this `time` on: 2026-11-26, 2026-11-26T09:30 or RFC 3339; in UTC unless it says otherwise", timeFlag(&q.From))
	set.Func("to", "before this `time`", timeFlag(&q.To))
	set.Func("field", "with this `name=value`, also several times; the value is JSON, such as 42, true or \"42\", else a text, and null asks for absence", func(s string) error {
		name, value, err := parseField(s)
		if err == nil {
			if q.Fields == nil {
				q.Fields = core.Fields{}
			}
			q.Fields[name] = value
		}
		return err
	})
	return q
}

func parseField(s string) (name string, value any, err error) {
	name, text, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return "", nil, fmt.Errorf("it is no name=value")
	}
	if !json.Valid([]byte(text)) {
		return name, text, nil
	}
	value, err = auditjson.Parse([]byte(text))
	return name, value, err
}

func timeFlag(into *time.Time) func(string) error {
	return func(s string) error {
		for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339Nano} {
			if t, err := time.Parse(layout, s); err == nil {
				*into = t.UTC()
				return nil
			}
		}
		return fmt.Errorf("it is no time such as 2026-11-26T09:30")
	}
}
