package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/auditing-go/auditing/stores"
)

// check prints what the store finds out about itself.
func check(_ *flag.FlagSet, a *app) func(context.Context) error {
	return func(ctx context.Context) error {
		log := &collected{}
		store, err := a.open(ctx, slog.New(log))
		if err != nil {
			return err
		}
		defer closeStore(ctx, store)
		var findings []stores.Finding
		checker, ok := store.(stores.Checker)
		if ok {
			findings, err = checker.Check(ctx)
		}
		if err != nil {
			return err
		}
		findings = append(findings, log.findings()...)
		gaps := 0
		for _, f := range findings {
			word := "ok "
			if f.Gap {
				word = "GAP"
				gaps++
			}
			fmt.Fprintf(a.stdout, "%s  %s\n", word, f.Text)
			if f.Fix != "" {
				fmt.Fprintf(a.stdout, "     %s\n", strings.ReplaceAll(f.Fix, "\n", "\n     "))
			}
		}
		if !ok {
			fmt.Fprintf(a.stdout, "     what a role may do is not checked: %s does not say\n", a.driver)
		}
		if gaps > 0 {
			return fmt.Errorf("%d gaps", gaps)
		}
		return nil
	}
}

// collected is a handler that keeps warnings: what a store says of itself when it is opened.
type collected struct {
	mu       sync.Mutex
	warnings []stores.Finding
}

func (c *collected) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (c *collected) WithAttrs([]slog.Attr) slog.Handler           { return c }
func (c *collected) WithGroup(string) slog.Handler                { return c }

func (c *collected) Handle(_ context.Context, r slog.Record) error {
	f := stores.Finding{Gap: true, Text: strings.TrimPrefix(r.Message, "auditing: ")}
	r.Attrs(func(at slog.Attr) bool {
		if at.Key == "statement" {
			f.Fix = at.Value.String()
		} else {
			f.Text += fmt.Sprintf(", %s: %v", at.Key, at.Value)
		}
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warnings = append(c.warnings, f)
	return nil
}

func (c *collected) findings() []stores.Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.warnings
}
