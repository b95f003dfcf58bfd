package esstore

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/core/ecs"
)

// TestDocumentsAreECS: what is not below audit or labels, and is no tag, is a field of the
// Elastic Common Schema, as its package @elastic/ecs lists them, and so is its mapping.
func TestDocumentsAreECS(t *testing.T) {
	list, err := os.ReadFile("testdata/ecs-" + ecs.Version + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string][]string{} // the type, and the values that are allowed
	for line := range strings.Lines(string(list)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] != "#" {
			fields[words[0]] = words[1:]
		}
	}
	ours := func(path string) bool {
		return path == "tag" || strings.HasPrefix(path, "audit.") || strings.HasPrefix(path, "labels.")
	}
	var check func(path string, v any)
	check = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, v := range v {
				check(strings.TrimPrefix(path+"."+name, "."), v)
			}
		case []any:
			for _, v := range v {
				check(path, v)
			}
		default:
			field, known := fields[path]
			switch {
			case ours(path):
			case !known:
				t.Errorf("%s is no field of ECS", path)
			case len(field) > 1 && !slices.Contains(strings.Split(field[1], ","), v.(string)):
				t.Errorf("%s is %v, not one of %s", path, v, field[1])
			}
		}
	}
	for _, outcome := range []core.Outcome{core.OutcomeUnstated, core.OutcomeSuccess, core.OutcomeDenied, core.OutcomeFailure, "another"} {
		e := eightFields()
		e.OnBehalfOf, e.Target, e.Outcome, e.Reason, e.Tenant, e.Service = "bob", "order/42", outcome, "why", "acme", "shop"
		e.Request.Route, e.Request.Trace = "/{id}", "4bf92f3577b34da6a3ce929d0e0e4736"
		for _, line := range [][]byte{appendDocument(nil, e, true), appendDeadLetter(nil, e, "audits", "reason")} {
			var doc any
			if err := json.Unmarshal(line, &doc); err != nil {
				t.Fatal(err)
			}
			check("", doc)
		}
	}

	type mapped struct {
		Type       string
		Path       string
		Properties map[string]json.RawMessage
	}
	var mapping func(path string, data json.RawMessage)
	mapping = func(path string, data json.RawMessage) {
		var m mapped
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		for name, data := range m.Properties {
			mapping(strings.TrimPrefix(path+"."+name, "."), data)
		}
		if m.Type == "" || m.Type == "alias" || ours(path) {
			return
		}
		if field := fields[path]; field == nil || field[0] != m.Type && !(field[0] == "wildcard" && m.Type == "keyword") {
			t.Errorf("%s is mapped as %s, in ECS it is %v", path, m.Type, field)
		}
	}
	mapping("", eventMapping)
	mapping("", deadLetterMapping)
}
