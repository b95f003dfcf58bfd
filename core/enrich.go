package core

import (
	"context"
	"fmt"
	"maps"
)

// enrich adds what Config.Tenant and Config.Enrich know to the event of c.
func (r *Recorder) enrich(ctx context.Context, c *call) error {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), c.deadline)
	defer cancel()
	if r.cfg.Tenant != nil {
		tenant, err := r.tenant(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("Config.Tenant: %w", err)
		case ctx.Err() != nil:
			return fmt.Errorf("Config.Tenant took all of the audit's time: %w", ErrTimeout)
		}
		c.event.Tenant = tenant
	}
	if r.cfg.Enrich == nil {
		return nil
	}
	e := c.event
	if e.Fields = maps.Clone(e.Fields); e.Fields == nil {
		e.Fields = Fields{}
	}
	if e.Request != nil { // which the events of a request share
		request := *e.Request
		e.Request = &request
	}
	done := make(chan error, 1)
	go func() { done <- r.enrichEvent(ctx, &e) }()
	select {
	case err := <-done:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return fmt.Errorf("Config.Enrich took all of the audit's time: %w", ErrTimeout)
	}
	e.ID, e.User, e.OnBehalfOf, e.Service, e.First = c.event.ID, c.event.User, c.event.OnBehalfOf, c.event.Service, c.event.First
	c.event = e
	return nil
}

func (r *Recorder) tenant(ctx context.Context) (tenant string, err error) {
	defer recovered("it", &err)
	return r.cfg.Tenant(ctx)
}

func (r *Recorder) enrichEvent(ctx context.Context, e *Event) (err error) {
	defer recovered("Config.Enrich", &err)
	r.cfg.Enrich(ctx, e)
	return nil
}
