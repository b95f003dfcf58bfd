package core

import (
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/auditing-go/auditing/core/internal/values"
)

// protector is Config.Protect as one function, nil when it protects nothing.
func (r *Recorder) protector() values.Protect {
	functions := r.cfg.Protect
	if functions == nil {
		return func(name string, v any) (any, bool) {
			if !isSecret(name) {
				return v, false
			}
			return r.protected(Secrets, true, name, v), true
		}
	}
	if len(functions) == 0 {
		return nil
	}
	return func(name string, v any) (any, bool) {
		for _, f := range functions {
			if kept := r.protected(f, isSecrets(f), name, v); !values.Same(kept, v) {
				return kept, true
			}
		}
		return v, false
	}
}

func isSecrets(f func(string, any) any) bool {
	return f != nil && reflect.ValueOf(f).Pointer() == reflect.ValueOf(Secrets).Pointer()
}

// protected calls one function of Config.Protect.
func (r *Recorder) protected(f func(string, any) any, secrets bool, name string, v any) (kept any) {
	defer func() {
		if p := recover(); p != nil {
			kept = hiddenText
			r.warnHidden(name, fmt.Sprintf("a function of Config.Protect panicked: %v", p))
		}
	}()
	kept = f(name, v)
	if secrets && isSecret(name) && hidesAnything(v) {
		r.warnHidden(name, "core.Secrets hides what has such a name: if it has to be stored, give Config.Protect functions of your own in its place, or an empty slice")
	}
	return kept
}

// warnHidden says once a name why its value is not stored.
func (r *Recorder) warnHidden(name, why string) {
	if name, first := r.hidden.add(name); first {
		r.logger().Warn("auditing: a value is stored as "+hiddenText, "name", name, "reason", why)
	}
}

// protectFacts protects what the application words itself beside the fields.
func (r *Recorder) protectFacts(e *Event) {
	if r.protect == nil {
		return
	}
	if kind, _, _ := strings.Cut(e.Target, "/"); r.cfg.Protect == nil && !isSecret(kind) {
		return // Secrets looks at names alone: calling it would cost two allocations
	}
	e.Target = protectedTarget(e.Target, r.protect)
	e.Reason = protectedReason(e.Reason, r.protect)
}

func protectedTarget(target string, p values.Protect) string {
	kind, id, ok := strings.Cut(target, "/")
	if !ok {
		return target
	}
	kept, _ := p(kind, id)
	return kind + "/" + idText(kept)
}

func protectedReason(reason string, p values.Protect) string {
	if reason == "" {
		return ""
	}
	kept, _ := p("reason", reason)
	return idText(kept)
}

// protected is q as it finds what was protected. What is hidden cannot be found: any value
// would find all.
func (q Query) protected(protect values.Protect) (_ Query, err error) {
	p := func(name string, v any) (any, bool) {
		kept, changed := protect(name, v)
		if changed && isHidden(kept) && !values.Equal(kept, v) {
			err = fmt.Errorf("auditing: query: what stands under %q is %w", name, ErrHidden)
		}
		return kept, changed
	}
	if q.Target != "" {
		q.Target = protectedTarget(q.Target, p)
	}
	q.Reason = protectedReason(q.Reason, p)
	if len(q.Fields) == 0 {
		return q, err
	}
	fields := make(Fields, len(q.Fields))
	for name, v := range q.Fields {
		kept, _ := values.Fields(map[string]any{name: v}, maxQueryBytes, p)
		if len(kept) == 0 {
			fields[name] = nil
		}
		maps.Copy(fields, kept)
	}
	q.Fields = fields
	return q, err
}

// maxQueryBytes is how large a value may be that a query asks for.
const maxQueryBytes = 1 << 20
