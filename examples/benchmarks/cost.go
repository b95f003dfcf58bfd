package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/eventlogger"
	"github.com/hashicorp/eventlogger/sinks/writer"
	"github.com/rs/zerolog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/auditing-go/auditing/core"
)

const (
	zapName         = "zap, JSON"
	eventloggerName = "hashicorp/eventlogger, JSON"
)

// idle is a store that does nothing.
type idle struct{}

func (idle) Save(context.Context, []core.Event) error { return nil }

// promptIdle does nothing and says that it is certain to return, as a PostgreSQL store
// says: a lone audit then saves on its own goroutine.
type promptIdle struct{ idle }

func (promptIdle) Prompt() bool { return true }

// handler stands for the request that an audit is made in.
type handler struct{}

func (handler) User(context.Context) (string, error) { return user, nil }

func (handler) Request(context.Context) *core.Request { return request }

var request = &core.Request{Path: "/refund", Host: "shop.example", IP: "203.0.113.9", Method: "POST", Peer: "203.0.113.9", UserAgent: "curl/8"}

// eight are four fields more.
func eight(n int) core.Fields {
	f := fields(n)
	f["shop"], f["express"], f["weight"], f["parcels"] = "Rome", false, 1.25, 2
	return f
}

// kept keeps the compiler from leaving a map out.
var kept core.Fields

func costCases(ctx context.Context, l *lab) ([]Case, error) {
	onPrompt, err := l.audits(ctx, promptIdle{})
	if err != nil {
		return nil, err
	}
	onAny, err := l.audits(ctx, idle{})
	if err != nil {
		return nil, err
	}
	events, err := newEventlogger()
	if err != nil {
		return nil, err
	}
	figures := []string{Nanos, Bytes, Allocs}
	looped := func(name string, do func(n int)) Side {
		return Side{Name: name, Measure: func(_ context.Context, d time.Duration) (Sample, error) { return loop(d, do), nil }}
	}
	beyondMap := func(name string, audit func(core.Fields)) Side {
		return Side{Name: name, Measure: func(_ context.Context, d time.Duration) (Sample, error) {
			return beyond(d, func(n int) { kept = fields(n) }, func(n int) { audit(fields(n)) }), nil
		}}
	}
	beside := func(name string, fields func(n int) core.Fields, peers []Side) Case {
		return Case{Name: name, Figures: figures, Sides: append([]Side{looped("auditing, the map included", func(n int) { onPrompt(fields(n)) })}, peers...)}
	}
	own := []Want{{Figure: Nanos, AtMost: 1000}, {Figure: Allocs, AtMost: 4}}
	ownOnAny := []Want{{Figure: Nanos, AtMost: 1000, Reason: reasonHandOver}, {Figure: Allocs, AtMost: 4}}
	ofEight := beside("8 fields", eight, logs8(looped, events))
	ofEight.Wants = []Want{
		{Figure: Nanos, Beside: zapName, AtMost: 1, Reason: reasonZap},
		{Figure: Nanos, Beside: eventloggerName, AtMost: 1. / 8, Reason: reasonZap},
	}
	return []Case{
		{Name: "4 fields, beyond the map, on a store that surely returns, such as PostgreSQL", Figures: figures, Sides: []Side{beyondMap("auditing", onPrompt)}, Wants: own},
		{Name: "4 fields, beyond the map, on any other store", Figures: figures, Sides: []Side{beyondMap("auditing", onAny)}, Wants: ownOnAny},
		beside("4 fields", fields, logs4(looped, events)),
		ofEight,
	}, nil
}

const (
	reasonHandOver = ""
	reasonZap      = ""
)

// audits returns a function that audits on a store as a handler does.
func (l *lab) audits(ctx context.Context, store core.Store) (func(core.Fields), error) {
	rec, err := core.New(store, core.Config{})
	if err != nil {
		return nil, err
	}
	l.atEnd(func() error { return rec.Close(context.WithoutCancel(ctx)) })
	inside := core.NewContext(context.Background(), rec, handler{})
	return func(f core.Fields) {
		kept = f // a handler's map does not stay on its stack
		if err := core.Audit(inside, tag, f); err != nil {
			panic(err)
		}
	}, nil
}

func newEventlogger() (*eventlogger.Broker, error) {
	broker, err := eventlogger.NewBroker()
	if err != nil {
		return nil, err
	}
	return broker, errors.Join(
		broker.RegisterNode("json", &eventlogger.JSONFormatter{}),
		broker.RegisterNode("discard", &writer.Sink{Writer: io.Discard}),
		broker.RegisterPipeline(eventlogger.Pipeline{PipelineID: "audits", EventType: tag, NodeIDs: []eventlogger.NodeID{"json", "discard"}}))
}

func newZap(out zapcore.WriteSyncer) *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), out, zap.InfoLevel))
}

// logFour logs the four fields.
func logFour(z *zap.Logger, n int) {
	z.Info(tag, zap.Int("item", n), zap.Float64("amount", 9.5), zap.String("what", "a book"), zap.Bool("ok", true))
}

// logs4 are loggers that write the four fields, each in its own fastest way.
func logs4(looped func(string, func(int)) Side, events *eventlogger.Broker) []Side {
	z, zero, s := newZap(zapcore.AddSync(io.Discard)), zerolog.New(io.Discard).With().Timestamp().Logger(), slog.New(slog.NewJSONHandler(io.Discard, nil))
	return []Side{
		looped(zapName, func(n int) { logFour(z, n) }),
		looped("zerolog", func(n int) {
			zero.Info().Int("item", n).Float64("amount", 9.5).Str("what", "a book").Bool("ok", true).Msg(tag)
		}),
		looped("slog, JSON", func(n int) {
			s.LogAttrs(context.Background(), slog.LevelInfo, tag, slog.Int("item", n), slog.Float64("amount", 9.5), slog.String("what", "a book"), slog.Bool("ok", true))
		}),
		looped(eventloggerName, func(n int) { send(events, fields(n)) }),
	}
}

// logs8 are those of logs4 with eight fields.
func logs8(looped func(string, func(int)) Side, events *eventlogger.Broker) []Side {
	z, zero, s := newZap(zapcore.AddSync(io.Discard)), zerolog.New(io.Discard).With().Timestamp().Logger(), slog.New(slog.NewJSONHandler(io.Discard, nil))
	return []Side{
		looped(zapName, func(n int) {
			z.Info(tag, zap.Int("item", n), zap.Float64("amount", 9.5), zap.String("what", "a book"), zap.Bool("ok", true),
				zap.String("shop", "Rome"), zap.Bool("express", false), zap.Float64("weight", 1.25), zap.Int("parcels", 2))
		}),
		looped("zerolog", func(n int) {
			zero.Info().Int("item", n).Float64("amount", 9.5).Str("what", "a book").Bool("ok", true).
				Str("shop", "Rome").Bool("express", false).Float64("weight", 1.25).Int("parcels", 2).Msg(tag)
		}),
		looped("slog, JSON", func(n int) {
			s.LogAttrs(context.Background(), slog.LevelInfo, tag, slog.Int("item", n), slog.Float64("amount", 9.5), slog.String("what", "a book"), slog.Bool("ok", true),
				slog.String("shop", "Rome"), slog.Bool("express", false), slog.Float64("weight", 1.25), slog.Int("parcels", 2))
		}),
		looped(eventloggerName, func(n int) { send(events, eight(n)) }),
	}
}

func send(events *eventlogger.Broker, payload any) {
	if _, err := events.Send(context.Background(), tag, payload); err != nil {
		panic(err)
	}
}
