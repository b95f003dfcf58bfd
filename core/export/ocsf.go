package export

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/auditjson"
)

const ocsfVersion = "1.8.0"

// The classes, by their numbers in the schema, and what was done.
const (
	apiActivity    = 6003
	authentication = 3002

	activityLogon  = 1
	activityLogoff = 2
	activityOther  = 99
)

// unknown stands where the schema wants a name and the event has none.
const unknown = "unknown"

type ocsfEvent struct {
	ActivityID   int             `json:"activity_id"`
	ActivityName string          `json:"activity_name"`
	CategoryUID  int             `json:"category_uid"`
	ClassUID     int             `json:"class_uid"`
	TypeUID      int             `json:"type_uid"`
	SeverityID   int             `json:"severity_id"`
	Time         int64           `json:"time"`
	TimeDT       string          `json:"time_dt"`
	Metadata     ocsfMetadata    `json:"metadata"`
	StatusID     int             `json:"status_id"`
	StatusDetail string          `json:"status_detail,omitempty"`
	ActionID     int             `json:"action_id,omitempty"`
	Actor        *ocsfActor      `json:"actor,omitempty"`
	User         *ocsfName       `json:"user,omitempty"`
	API          *ocsfAPI        `json:"api,omitempty"`
	Service      *ocsfName       `json:"service,omitempty"`
	Source       *ocsfEndpoint   `json:"src_endpoint,omitempty"`
	HTTPRequest  *ocsfRequest    `json:"http_request,omitempty"`
	Resources    []ocsfResource  `json:"resources,omitempty"`
	Unmapped     json.RawMessage `json:"unmapped"`
}

type ocsfMetadata struct {
	Version     string   `json:"version"`
	UID         string   `json:"uid"`
	EventCode   string   `json:"event_code"`
	TenantUID   string   `json:"tenant_uid,omitempty"`
	Correlation string   `json:"correlation_uid,omitempty"`
	Profiles    []string `json:"profiles"`
	Product     struct {
		Name   string `json:"name"`
		Vendor string `json:"vendor_name"`
	} `json:"product"`
}

type ocsfName struct {
	Name string `json:"name"`
}

type ocsfActor struct {
	User *ocsfName `json:"user,omitempty"`
	App  string    `json:"app_name,omitempty"`
}

type ocsfAPI struct {
	Operation string    `json:"operation"`
	Service   *ocsfName `json:"service,omitempty"`
	Request   *ocsfUID  `json:"request,omitempty"`
}

type ocsfUID struct {
	UID string `json:"uid"`
}

type ocsfEndpoint struct {
	IP   string `json:"ip,omitempty"`
	Name string `json:"name,omitempty"`
}

type ocsfRequest struct {
	Method    string   `json:"http_method,omitempty"`
	UID       string   `json:"uid,omitempty"`
	UserAgent string   `json:"user_agent,omitempty"`
	URL       *ocsfURL `json:"url,omitempty"`
}

type ocsfURL struct {
	Hostname string `json:"hostname,omitempty"`
	Path     string `json:"path"`
}

type ocsfResource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// appendOCSF appends the event of the schema that e is, as a line.
func appendOCSF(dst []byte, e core.Event) []byte {
	o := ocsfEvent{
		ActivityID: signIn(e.Tag), ActivityName: e.Tag, SeverityID: 1, Time: e.Time.UnixMilli(), TimeDT: timeText(e.Time), StatusDetail: e.Reason,
		Metadata: ocsfMetadata{Version: ocsfVersion, UID: e.ID.String(), EventCode: e.Tag, TenantUID: e.Tenant, Profiles: []string{"datetime"}},
	}
	o.Metadata.Product.Name, o.Metadata.Product.Vendor = cmp.Or(e.Service, "auditing"), "auditing"
	switch e.Outcome {
	case core.OutcomeSuccess:
		o.StatusID = 1
	case core.OutcomeDenied:
		o.StatusID, o.ActionID = 2, 2
		o.Metadata.Profiles = append(o.Metadata.Profiles, "security_control")
	case core.OutcomeFailure:
		o.StatusID = 2
	}
	rest := map[string]any{}
	keep := func(name, text string) {
		if text != "" {
			rest[name] = text
		}
	}
	r := e.Request
	if r == nil {
		r = &core.Request{}
	}
	kind, id, _ := strings.Cut(e.Target, "/")
	service := func() *ocsfName { return &ocsfName{cmp.Or(e.Service, r.Host, unknown)} }
	if o.ActivityID != 0 {
		o.ClassUID, o.CategoryUID = authentication, 3
		o.User, o.Service = &ocsfName{e.User}, service()
		if e.User == "" && kind == "user" {
			o.User.Name = id // who it was to be
		}
		keep("target", e.Target)
		o.Source = endpoint(r.IP)
	} else {
		o.ClassUID, o.CategoryUID, o.ActivityID = apiActivity, 6, activityOther
		o.API = &ocsfAPI{Operation: e.Tag, Service: service()}
		if r.ID != "" {
			o.API.Request = &ocsfUID{r.ID}
		}
		if o.Actor = (&ocsfActor{User: &ocsfName{e.User}}); e.User == "" {
			o.Actor = &ocsfActor{App: cmp.Or(e.Service, unknown)}
		}
		if e.Target != "" {
			o.Resources = []ocsfResource{{kind, id}}
		}
		if o.Source = endpoint(r.IP); o.Source == nil {
			o.Source = &ocsfEndpoint{Name: cmp.Or(e.Service, unknown)}
		}
	}
	o.TypeUID = o.ClassUID*100 + o.ActivityID
	if e.Request != nil {
		o.HTTPRequest = &ocsfRequest{Method: r.Method, UID: r.ID, UserAgent: r.UserAgent, URL: &ocsfURL{r.Host, r.Path}}
		if o.Source == nil || o.Source.IP == "" {
			keep("ip", r.IP)
		}
		o.Metadata.Correlation = r.Trace
		keep("peer", r.Peer)
		keep("forwarded", r.Forwarded)
		keep("route", r.Route)
	}
	keep("on_behalf_of", e.OnBehalfOf)
	keep("outcome", string(e.Outcome))
	if len(e.Fields) > 0 {
		rest["fields"] = map[string]any(e.Fields)
	}
	o.Unmapped = auditjson.Append(nil, rest)
	line, err := json.Marshal(o)
	if err != nil {
		panic(err) // of texts, numbers and JSON it is none
	}
	return append(append(dst, line...), '\n')
}

// endpoint is where a request came from, nil when that is no address.
func endpoint(ip string) *ocsfEndpoint {
	if a, err := netip.ParseAddr(ip); err != nil || a.Zone() != "" {
		return nil
	}
	return &ocsfEndpoint{IP: ip}
}

// signIn is the activity of a tag that is one of signing in or out, 0 of another.
func signIn(tag string) int {
	words := strings.FieldsFunc(strings.ToLower(tag), func(c rune) bool { return !unicode.IsLetter(c) })
	if n := len(words); n > 1 && slices.Contains([]string{"failed", "failure", "denied", "succeeded", "success"}, words[n-1]) {
		words = words[:n-1]
	}
	for n := 1; n <= min(len(words), 2); n++ {
		switch strings.Join(words[len(words)-n:], "") {
		case "login", "logon", "signin":
			return activityLogon
		case "logout", "logoff", "signout":
			return activityLogoff
		}
	}
	return 0
}
