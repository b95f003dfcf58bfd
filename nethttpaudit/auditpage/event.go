package auditpage

import (
	"context"

	"github.com/auditing-go/auditing/core"
)

// event is one event with everything.
type event struct {
	ID    string
	Row   *row // nil when there is no such event
	Zone  string
	Facts []fact
	From  []fact // the request
	// Histories lead to what else was done to its resource, by its user, in its request.
	Histories []history
}

// fact is something that an event says.
type fact struct {
	Name  string
	Value value
}

// history leads to other events.
type history struct {
	Text  string
	Value value
	Href  string
}

// event reads the event that is asked for.
func (p *page) event(ctx context.Context, v viewer, a *ask) (*event, []core.Event, error) {
	got, err := v.reader.Read(ctx, core.Query{ID: a.query.ID, Limit: 1})
	if err != nil && len(got.Events) == 0 {
		return nil, nil, err
	}
	shown := &event{ID: a.query.ID.String(), Zone: a.zone.String()}
	if len(got.Events) == 0 {
		return shown, nil, nil
	}
	e := got.Events[0]
	row := a.row(e, 0)
	shown.Row = &row
	shown.facts(a, e)
	for _, h := range []struct{ text, of, param, value string }{
		{"What was done to", e.Target, "resource", e.Target},
		{"What was done by", e.User, "user", e.User},
		{"What was done in the request", requestID(e), "request", requestID(e)},
	} {
		if h.of != "" {
			shown.Histories = append(shown.Histories, history{h.text, short(h.of), a.link(h.param, h.value).Href})
		}
	}
	return shown, got.Events, nil
}

func requestID(e core.Event) string {
	if e.Request == nil {
		return ""
	}
	return e.Request.ID
}

func (s *event) facts(a *ask, e core.Event) {
	add := func(to *[]fact, name, text, param string) {
		if text == "" {
			return
		}
		v := value{Parts: whole(text)}
		if param != "" {
			v.Href = a.link(param, text).Href
		}
		*to = append(*to, fact{name, v})
	}
	add(&s.Facts, "When", e.Time.In(a.zone).Format("2006-01-02 15:04:05.000000 MST"), "")
	if a.given.Get("zone") != "" {
		add(&s.Facts, "When (UTC)", e.Time.UTC().Format("2006-01-02 15:04:05.000000 MST"), "")
	}
	user := e.User
	if user == "" {
		s.Facts = append(s.Facts, fact{"User", value{Parts: whole("nobody was signed in"), Href: a.hrefOf("anonymous", "1")}})
	}
	add(&s.Facts, "User", user, "user")
	add(&s.Facts, "On behalf of", e.OnBehalfOf, "for")
	add(&s.Facts, "Tag", e.Tag, "tag")
	add(&s.Facts, "Resource", e.Target, "resource")
	add(&s.Facts, "Outcome", string(e.Outcome), "outcome")
	add(&s.Facts, "Reason", e.Reason, "reason")
	add(&s.Facts, "Tenant", e.Tenant, "tenant")
	add(&s.Facts, "Service", e.Service, "")
	if r := e.Request; r != nil {
		add(&s.From, "IP", r.IP, "ip")
		add(&s.From, "Peer", r.Peer, "")
		add(&s.From, "X-Forwarded-For", r.Forwarded, "")
		add(&s.From, "Method", r.Method, "")
		add(&s.From, "Host", r.Host, "")
		add(&s.From, "Path", r.Path, "")
		add(&s.From, "Route", r.Route, "")
		add(&s.From, "Request id", r.ID, "request")
		add(&s.From, "Trace id", r.Trace, "")
		add(&s.From, "User agent", r.UserAgent, "")
	}
}
