package esstore

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

// document is what appendDocument and appendDeadLetter write.
type document struct {
	Timestamp string `json:"@timestamp"`
	Tag       string `json:"tag"`
	Event     struct {
		ID     string `json:"id"`
		Reason string `json:"reason"`
	} `json:"event"`
	User struct {
		Name      string `json:"name"`
		Effective struct {
			Name string `json:"name"`
		} `json:"effective"`
	} `json:"user"`
	Organization struct {
		ID string `json:"id"`
	} `json:"organization"`
	Service struct {
		Name string `json:"name"`
	} `json:"service"`
	URL *struct {
		Path   string `json:"path"`
		Domain string `json:"domain"`
	} `json:"url"`
	Source struct {
		IP string `json:"ip"`
	} `json:"source"`
	HTTP struct {
		Request struct {
			Method string `json:"method"`
			ID     string `json:"id"`
		} `json:"request"`
	} `json:"http"`
	UserAgent struct {
		Original string `json:"original"`
	} `json:"user_agent"`
	Trace struct {
		ID string `json:"id"`
	} `json:"trace"`
	Audit struct {
		Micros    *int64          `json:"micros"`
		Target    string          `json:"target"`
		Outcome   core.Outcome    `json:"outcome"`
		Route     string          `json:"route"`
		Peer      string          `json:"peer"`
		Forwarded string          `json:"forwarded"`
		Fields    json.RawMessage `json:"fields"`
		Original  string          `json:"original"`
	} `json:"audit"`
}

var errForeign = errors.New("it was not written by this package")

// parseDocument returns the event of a document.
func parseDocument(source []byte) (core.Event, error) {
	var d document
	if err := json.Unmarshal(source, &d); err != nil {
		return core.Event{}, errForeign
	}
	if d.Audit.Original != "" {
		var e core.Event
		if err := e.UnmarshalJSON([]byte(d.Audit.Original)); err != nil || e.ID == uuid.Nil {
			return core.Event{}, errForeign
		}
		return e, nil
	}
	id, err := uuid.Parse(d.Event.ID)
	if err != nil || d.Audit.Micros == nil {
		return core.Event{}, errForeign
	}
	e := core.Event{
		ID: id, Tag: d.Tag, User: d.User.Name, OnBehalfOf: d.User.Effective.Name, Target: d.Audit.Target, Outcome: d.Audit.Outcome, Reason: d.Event.Reason,
		Tenant: d.Organization.ID, Service: d.Service.Name, Time: time.UnixMicro(*d.Audit.Micros).UTC(), Fields: core.Fields{},
	}
	if d.URL != nil {
		e.Request = &core.Request{
			Path: d.URL.Path, Host: d.URL.Domain, IP: d.Source.IP, Method: d.HTTP.Request.Method, Peer: d.Audit.Peer,
			Forwarded: d.Audit.Forwarded, UserAgent: d.UserAgent.Original, ID: d.HTTP.Request.ID, Route: d.Audit.Route, Trace: d.Trace.ID,
		}
	}
	if len(d.Audit.Fields) > 0 {
		v, err := auditjson.Parse(d.Audit.Fields)
		if err != nil {
			return core.Event{}, err
		}
		fields, ok := v.(map[string]any)
		if !ok {
			return core.Event{}, errForeign
		}
		e.Fields = fields
	}
	return e, nil
}
