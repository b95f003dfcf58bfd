package esstore

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/auditing-go/auditing/core/ecs"
)

// templateVersion is stated in the templates, so that an older program does not
// replace what a newer one has installed. Raise it with every change of a mapping.
const templateVersion = 3

//go:embed template.json
var eventMapping []byte

//go:embed template_dead_letter.json
var deadLetterMapping []byte

// The types of labels: Elasticsearch knows one of them, OpenSearch the other.
const (
	flattened  = "flattened"
	flatObject = "flat_object"
)

// setUp installs the index templates and warns about what makes audits less durable or
// less useful.
func (s *Store) setUp(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	name := templateName(s.cfg.Index)
	kind, there, err := s.template(ctx, name)
	if err != nil {
		return err
	}
	if !s.cfg.NoTemplate {
		// What another program has made a data stream stays one.
		s.cfg.DataStream = s.cfg.DataStream || s.cfg.Route == nil && there.DataStream != nil
		if there.Version <= templateVersion && !there.covers(s.patterns(), s.cfg.DataStream) {
			err = s.install(ctx, name, kind, there)
		}
		if err == nil {
			err = s.installDeadLetter(ctx)
		}
		if err != nil {
			return err
		}
	}
	s.review(ctx)
	return nil
}

// patterns are the names that the template has to cover: where Index is an alias,
// rollover calls what is behind it Index-000001 and so on.
func (s *Store) patterns() []string {
	switch {
	case s.cfg.DataStream:
		return []string{s.cfg.Index}
	case s.cfg.Route == nil:
		return []string{s.cfg.Index, s.cfg.Index + "-0*"}
	}
	return []string{s.cfg.Index, s.cfg.Index + "-*"}
}

// installed is what a server says of a template.
type installed struct {
	Version    int             `json:"version"` // 0 when there is none
	Patterns   []string        `json:"index_patterns"`
	DataStream json.RawMessage `json:"data_stream"`
}

// covers reports whether nothing is to be installed.
func (t installed) covers(patterns []string, stream bool) bool {
	return t.Version == templateVersion && (!stream || t.DataStream != nil) &&
		!slices.ContainsFunc(patterns, func(p string) bool { return !slices.Contains(t.Patterns, p) })
}

func templateName(index string) string { return "auditing-" + index }

// template returns the type of labels that the server has to know, and the template of
// that name.
func (s *Store) template(ctx context.Context, name string) (kind string, there installed, err error) {
	a, err := s.ask(ctx, request{method: http.MethodGet, path: "/_index_template/" + name})
	if err != nil {
		return "", there, fmt.Errorf("auditing: asking Elasticsearch for its index template: %w", err)
	}
	kind = flatObject
	if a.header.Get("X-Elastic-Product") == "Elasticsearch" {
		kind = flattened
	}
	switch {
	case a.status == http.StatusNotFound && a.failure().reason != nil: // a proxy's would be another one
		return kind, there, nil
	case a.status == http.StatusForbidden && s.cfg.NoTemplate:
		return kind, there, nil // who may not ask is warned all the same
	case a.status != http.StatusOK:
		return "", there, fmt.Errorf("auditing: asking Elasticsearch for its index template %s: %w%s", name, a.failure(), templateHint(a.status))
	}
	var found struct {
		Templates []struct {
			Template installed `json:"index_template"`
		} `json:"index_templates"`
	}
	if json.Unmarshal(a.body, &found) != nil || len(found.Templates) != 1 {
		return "", there, errors.New("auditing: what answers is no Elasticsearch 7.17 or later and no OpenSearch: check the host and the path in the DSN")
	}
	there = found.Templates[0].Template
	there.Version = max(there.Version, 1) // one that somebody else made under our name is left alone
	return kind, there, nil
}

func templateHint(status int) string {
	if status == http.StatusForbidden {
		return " (manage_index_templates); or have the template installed by somebody else and set template=false"
	}
	return ""
}

type object = map[string]any

// install installs the template of the events. Two programs at once install the same;
// what another one of them needs stays in it.
func (s *Store) install(ctx context.Context, name, kind string, there installed) error {
	patterns := s.patterns()
	for _, p := range there.Patterns {
		if !slices.Contains(patterns, p) {
			patterns = append(patterns, p)
		}
	}
	other := flattened
	if kind == flattened {
		other = flatObject
	}
	a, err := s.put(ctx, name, patterns, kind)
	// Which server it is shows only in a header that a proxy can take away.
	if err == nil && a.status == http.StatusBadRequest && strings.Contains(string(a.body), kind) {
		a, err = s.put(ctx, name, patterns, other)
	}
	return templateError(name, a, err)
}

func (s *Store) put(ctx context.Context, name string, patterns []string, kind string) (answer, error) {
	mapping := object{}
	if err := json.Unmarshal(eventMapping, &mapping); err != nil {
		return answer{}, err
	}
	labels := object{"type": kind}
	if kind == flattened {
		labels["ignore_above"] = 8191
		labels["depth_limit"] = 2 * ecs.MaxDepth
	}
	mapping["properties"].(object)["labels"] = labels
	return s.putTemplate(ctx, name, patterns, mapping, s.cfg.DataStream)
}

func (s *Store) installDeadLetter(ctx context.Context) error {
	name := templateName(s.cfg.DeadLetter)
	_, there, err := s.template(ctx, name)
	if err != nil || there.Version >= templateVersion {
		return err
	}
	mapping := object{}
	if err := json.Unmarshal(deadLetterMapping, &mapping); err != nil {
		return err
	}
	a, err := s.putTemplate(ctx, name, []string{s.cfg.DeadLetter}, mapping, false)
	return templateError(name, a, err)
}

func templateError(name string, a answer, err error) error {
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%w%s", a.failure(), templateHint(a.status))
		if strings.Contains(string(a.body), "match a data stream template") {
			err = fmt.Errorf("%w: the index is a data stream: set DataStream, or data_stream=true in the DSN", err)
		}
	}
	if err != nil {
		return fmt.Errorf("auditing: installing the index template %s: %w", name, err)
	}
	return nil
}

// putTemplate installs one template. The longer its name, the higher its priority: of
// two templates for one index the more particular has to win, and servers refuse those
// that overlap with the same priority.
func (s *Store) putTemplate(ctx context.Context, name string, patterns []string, mapping object, stream bool) (answer, error) {
	template := object{
		"index_patterns": patterns,
		"priority":       500 + len(patterns[0]),
		"version":        templateVersion,
		"_meta":          object{"description": "audits, installed by github.com/auditing-go/auditing"},
		"template": object{
			"settings": object{"index": object{"mapping": object{"ignore_malformed": true}}},
			"mappings": mapping,
		},
	}
	if stream {
		template["data_stream"] = object{}
	}
	body, err := json.Marshal(template)
	if err != nil {
		return answer{}, err
	}
	return s.ask(ctx, request{method: http.MethodPut, path: "/_index_template/" + name, body: body, contentType: jsonType})
}
