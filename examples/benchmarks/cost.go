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
	copyFourName    = "limit: to copy a map of four"
	handOverName    = "limit: to another goroutine and back, by channels"
	copyMapName     = "limit: to copy a map of eight"
	twoMapsName     = "limit: to make a map of eight and copy it"
	zapName         = "zap, JSON"
	eventloggerName = "hashicorp/eventlogger, JSON"
	eightName       = "8 fields, the caller's map not counted"
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

func (handler) Request(context.Context) (*core.Request, error) { return request, nil }

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
	aside := func(s Side) Side { s.Aside = true; return s }
	beyondMap := func(fields func(n int) core.Fields, audit func(core.Fields)) Side {
		return Side{Name: "auditing", Measure: func(_ context.Context, d time.Duration) (Sample, error) {
			return beyond(d, func(n int) { kept = fields(n) }, func(n int) { audit(fields(n)) }), nil
		}}
	}
	four, more := logs4(looped, events), logs8(looped, events)
	likeLoggers := func(limit, reason string) []Want {
		return []Want{
			{Figure: Nanos, Beside: zapName, AtMost: 1, LimitedBy: limit, Reason: reason},
			{Figure: Nanos, Beside: eventloggerName, AtMost: 1. / 8, LimitedBy: limit, Reason: reason},
		}
	}
	return []Case{{
		Name: "4 fields, on PostgreSQL, the caller's map not counted", Figures: figures,
		Sides: []Side{beyondMap(fields, onPrompt), aside(looped(copyFourName, copyMap(fields(1))))},
		Wants: []Want{{Figure: Nanos, Beside: copyFourName, AtMost: 3.5}, {Figure: Allocs, AtMost: 4}},
	}, {
		Name: "4 fields, on any other store, the caller's map not counted", Figures: figures,
		Sides: []Side{beyondMap(fields, onAny), handOver()},
		Wants: []Want{{Figure: Nanos, Beside: handOverName, AtMost: 3.5, Reason: reasonHandOver}, {Figure: Allocs, AtMost: 4}},
	}, {
		Name: "4 fields, with the caller's map", Figures: figures,
		Sides: append([]Side{looped("auditing", func(n int) { onPrompt(fields(n)) })}, four...),
	}, {
		Name: eightName, Figures: figures, Sides: append([]Side{beyondMap(eight, onPrompt), aside(looped(copyMapName, copyMap(eight(1))))}, more...),
		Wants: likeLoggers(copyMapName, reasonCopies),
	}, {
		Name: "8 fields, with the caller's map", Figures: figures,
		Sides: append([]Side{looped("auditing", func(n int) { onPrompt(eight(n)) }), aside(looped(twoMapsName, func(n int) { copyMap(eight(n))(n) }))}, more...),
		Wants: likeLoggers(twoMapsName, reasonMap),
	}}, nil
}

const (
	reasonHandOver = "Such a store is called on a goroutine of its own, because a disk that hangs must not hang the caller beyond its time. " +
		"What the line takes over the one above it is that way there and back, with the writer's own work for a batch."
	reasonCopies = "The map is copied, because the caller may change it as soon as the audit returns, every field is looked at, and the event gets an id and its place in the queue; the limit is the copy alone."
	reasonMap    = "The map of the caller is part of this line: it is allocated, while the loggers' fields stand on the stack; the limit is such a map and its copy alone."
)

// copyMap copies a map as its values have to be looked at: one by one.
func copyMap(from core.Fields) func(int) {
	return func(int) {
		to := make(core.Fields, len(from))
		for name, value := range from {
			to[name] = value
		}
		kept = to
	}
}

// handOver is the least that it costs to have something done by another goroutine.
func handOver() Side {
	return Side{Name: handOverName, Aside: true, Measure: func(_ context.Context, d time.Duration) (Sample, error) {
		there, back := make(chan int), make(chan int)
		go func() {
			for n := range there {
				back <- n
			}
		}()
		defer close(there)
		return loop(d, func(n int) {
			there <- n
			<-back
		}), nil
	}}
}

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
		if err := core.Audit(inside, tag, kept); err != nil {
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
