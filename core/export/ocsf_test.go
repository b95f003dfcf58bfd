package export_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/export"
)

func TestOCSF(t *testing.T) {
	e := numbered(1, "refund", core.Fields{"amount": 9.5, "at": noon})
	e.OnBehalfOf, e.Target, e.Outcome, e.Reason, e.Tenant, e.Service = "carol", "order/4/2", core.OutcomeDenied, "over the limit", "acme", "shop"
	e.Request = &core.Request{Path: "/refund", Host: "shop.example", IP: "203.0.113.9", Method: "POST", ID: "r-1", UserAgent: "curl/8", Trace: "4bf92f3577b34da6a3ce929d0e0e4736", Route: "/{what}"}
	file, _ := write(t, &trail{events: []core.Event{e}}, core.Query{}, export.OCSF)
	const want = `{"activity_id":99,"activity_name":"refund","category_uid":6,"class_uid":6003,"type_uid":600399,"severity_id":1,` +
		`"time":1795685400000,"time_dt":"2026-11-26T09:30:00.000000Z","metadata":{"version":"1.8.0","uid":"0198c0de-0000-7000-8000-000000000001",` +
		`"event_code":"refund","tenant_uid":"acme","correlation_uid":"4bf92f3577b34da6a3ce929d0e0e4736","profiles":["datetime","security_control"],` +
		`"product":{"name":"shop","vendor_name":"auditing"}},"status_id":2,"status_detail":"over the limit","action_id":2,"actor":{"user":{"name":"bob"}},` +
		`"api":{"operation":"refund","service":{"name":"shop"},"request":{"uid":"r-1"}},"src_endpoint":{"ip":"203.0.113.9"},` +
		`"http_request":{"http_method":"POST","uid":"r-1","user_agent":"curl/8","url":{"hostname":"shop.example","path":"/refund"}},` +
		`"resources":[{"type":"order","uid":"4/2"}],"unmapped":{"fields":{"amount":9.5,"at":{"$time":"2026-11-26T09:30:00.000000Z"}},"on_behalf_of":"carol","outcome":"denied","route":"/{what}"}}` + "\n"
	if file != want {
		t.Errorf("the event is\n%swant\n%s", file, want)
	}
}

func TestOCSFSignIns(t *testing.T) {
	for tag, want := range map[string]int{
		"login": 300201, "user.login": 300201, "user_sign_in": 300201, "SignIn": 300201, "session:logon": 300201, "login.failed": 300201, "sign-in-denied": 300201,
		"logout": 300202, "user.logged-off.sign.out": 300202, "log_off": 300202,
		"refund": 600399, "login.page": 600399, "blogin": 600399, "failed": 600399, "": 600399, "é": 600399, "loginfailed": 600399, "assign_in": 600399,
	} {
		e := numbered(1, tag, nil)
		e.User, e.Target, e.Outcome = "", "user/eve", core.OutcomeDenied
		file, _ := write(t, &trail{events: []core.Event{e}}, core.Query{}, export.OCSF)
		var got struct {
			Type     int `json:"type_uid"`
			User     *struct{ Name string }
			Unmapped map[string]any
		}
		if err := json.NewDecoder(strings.NewReader(file)).Decode(&got); err != nil || got.Type != want {
			t.Errorf("%q is of type %d (%v), want %d", tag, got.Type, err, want)
		}
		if want < 600000 && (got.User == nil || got.User.Name != "eve" || got.Unmapped["target"] != "user/eve") {
			t.Errorf("%q: the user is %v, unmapped %v", tag, got.User, got.Unmapped)
		}
	}
}
