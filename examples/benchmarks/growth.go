package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/auditing-go/auditing/core"
	"github.com/auditing-go/auditing/stores/postgres"
)

const (
	emptyName      = "into an empty table"
	oneTagName     = "of one tag alone"
	pipelineName   = "limit: a pipeline of as many ready rows"
	readyName      = "limit: ready rows on two connections"
	readyEmptyName = "limit: the same into an empty table"
	people         = 1000 // users that the rows belong to
	callersOf      = 64   // callers that insert
)

func growthCases(ctx context.Context, l *lab) ([]Case, error) {
	server, err := l.server(ctx)
	if err != nil {
		return nil, err
	}
	db, err := l.database(ctx, server)
	if err != nil {
		return nil, err
	}
	if err := db.like(ctx, "limit_rows"); err != nil {
		return nil, err
	}
	limitEmpty := db.ready(readyEmptyName, "limit_rows", callersOf, callersOf/2, userName, "TRUNCATE limit_rows")
	empty := db.inserting(emptyName, func(int) string { return tag }, "TRUNCATE "+tag)
	sizes := []int{l.choose(10_000, 1_000_000, 1_000_000)}
	if l.long {
		sizes = append(sizes, 10_000_000)
	}
	var inserts, reads []Case
	for _, size := range sizes {
		name := fmt.Sprintf("rows_%d", size)
		if err := db.fill(ctx, name, size); err != nil {
			return nil, err
		}
		rows := number(float64(size)) + " rows"
		inserts = append(inserts, Case{
			Name: fmt.Sprintf("insert rate at %s, %d callers", rows, callersOf), Figures: []string{Rate, P50, P99},
			Sides: []Side{db.inserting("auditing", func(int) string { return name }), empty, db.ready(readyName, name, callersOf, callersOf/2, userName), limitEmpty},
			Wants: []Want{{Figure: Rate, Beside: emptyName, AtLeast: 0.8, LimitedBy: readyName, LimitBeside: readyEmptyName, Reason: reasonLarge}},
		})
		reads = append(reads, db.newest("newest 50 by user within one tag, "+rows, name, 5))
	}
	reads = append(reads, db.newest("newest 50 by user across all tags, few", "", 0))

	tags := l.choose(50, 1000, 1000)
	many, err := l.database(ctx, server)
	if err != nil {
		return nil, err
	}
	if err := many.makeTags(ctx, tags); err != nil {
		return nil, err
	}
	of := number(float64(tags)) + " tags"
	oneTag := db.inserting(oneTagName, func(int) string { return tag }, "TRUNCATE "+tag)
	inserts = append(inserts, Case{
		Name: fmt.Sprintf("insert rate beside %s, %d callers of one", of, callersOf), Figures: []string{Rate, P50, P99},
		Sides: []Side{many.inserting("auditing", func(int) string { return tag }, "TRUNCATE "+tag), oneTag},
		Wants: []Want{{Figure: Rate, Beside: oneTagName, AtLeast: 0.8}},
	}, Case{
		Name: fmt.Sprintf("insert rate spread over %s, %d callers", of, callersOf), Figures: []string{Rate, P50, P99},
		Sides: []Side{many.inserting("auditing", func(n int) string { return tagName(n % tags) }), oneTag, many.pipeline(tags)},
		Wants: []Want{{Figure: Rate, Beside: oneTagName, AtLeast: 0.8, LimitedBy: pipelineName, Reason: reasonSpread}},
	})
	reads = append(reads,
		many.newest("newest 50 by user within one tag, "+of, tagName(0), 5),
		many.newest("newest 50 by user across all tags, "+of, "", 0))
	return append(inserts, reads...), nil
}

const reasonLarge = "A row of one of a thousand users goes anywhere in the index by user; the limit is what ready rows lose in the same table."

const reasonSpread = "Each tag is a table, so that a batch of 64 tags is 64 statements and 192 indexes to touch instead of one and three; " +
	"the limit is as many ready rows in one pipeline."

func tagName(n int) string  { return fmt.Sprintf("tag%d", n) }
func userName(n int) string { return fmt.Sprintf("user%d", n%people) }

// inserting is audits under the tag of each, after the statements.
func (db *database) inserting(name string, tagOf func(n int) string, before ...string) Side {
	return Side{Name: name, Measure: func(ctx context.Context, d time.Duration) (Sample, error) {
		if err := db.exec(ctx, before...); err != nil {
			return nil, err
		}
		return drive(ctx, callersOf, d, func(ctx context.Context, n int) error {
			return db.rec.Audit(ctx, tagOf(n), fields(n), core.As(userName(n)))
		})
	}}
}

// newest reads the newest 50 audits of changing users; tag "" is all tags.
func (db *database) newest(name, tag string, atMost float64) Case {
	c := Case{Name: name, Figures: []string{P50, P99}, Sides: []Side{{
		Name: "auditing", Measure: func(ctx context.Context, d time.Duration) (Sample, error) {
			return drive(ctx, 1, d, func(ctx context.Context, n int) error {
				_, err := db.rec.Read(ctx, core.Query{Tag: tag, User: userName(n), Limit: 50})
				return err
			})
		},
	}}}
	if atMost > 0 {
		c.Wants = []Want{{Figure: P50, AtMost: atMost}}
	}
	return c
}

// pipeline is what the server takes from one connection when nobody has to be told: a
// pipeline of as many rows as there are callers, each into another table.
func (db *database) pipeline(tags int) Side {
	return Side{Name: pipelineName, Aside: true, Measure: func(ctx context.Context, d time.Duration) (Sample, error) {
		// A connection that keeps the statements of all tables prepared.
		cfg := db.pool.Config().ConnConfig
		cfg.StatementCacheCapacity = 2 * tags
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			return nil, err
		}
		defer conn.Close(ctx)
		if err := prepareAll(ctx, conn, tags); err != nil {
			return nil, err
		}
		s, err := drive(ctx, 1, d, func(ctx context.Context, n int) error {
			var batch pgx.Batch
			for i := range callersOf {
				batch.Queue(insertInto(tagName((n*callersOf+i)%tags), dollar), newRow(i).values()...)
			}
			return conn.SendBatch(ctx, &batch).Close()
		})
		if err == nil {
			s[Rate] *= callersOf
		}
		return s, err
	}}
}

// prepareAll writes a row into every table, so that each statement is prepared.
func prepareAll(ctx context.Context, conn *pgx.Conn, tags int) error {
	for i := range tags {
		if _, err := conn.Exec(ctx, insertInto(tagName(i), dollar), newRow(i).values()...); err != nil {
			return err
		}
	}
	return nil
}

// fill gives a tag so many rows, a millisecond apart, with ids as the library makes them.
func (db *database) fill(ctx context.Context, name string, n int) error {
	if err := db.rec.Audit(ctx, name, fields(0), core.As(user)); err != nil {
		return err
	}
	return db.exec(ctx, fmt.Sprintf(`INSERT INTO %[1]s (username, datetime, audit_id, audit_tag, item, amount, what, ok)
		SELECT 'user' || (i::bigint * 7919) %% %[3]d, at, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' ||
			lpad(to_hex(i %% 4096), 3, '0') || '8' || substr(md5(i::text), 1, 15))::uuid, '%[1]s', i, 9.5, 'a book', true
		FROM generate_series(1, %[2]d) i, LATERAL (SELECT now() - (%[2]d - i) * interval '1 ms' AS at) times`, name, n, people),
		"VACUUM ANALYZE "+name, "CHECKPOINT")
}

// makeTags makes the tables of so many tags by the statements that the library gives:
// an application meets its tags over days, and the library makes at most ten tables a second.
func (db *database) makeTags(ctx context.Context, n int) error {
	store, err := postgres.Open(ctx, db.dsn, postgres.Config{})
	if err != nil {
		return err
	}
	defer store.Close(ctx)
	for from := 0; from < n; from += 100 {
		var statements strings.Builder
		for i := from; i < min(from+100, n); i++ {
			statements.WriteString(store.DDL(tagName(i), fields(0)))
			fmt.Fprintf(&statements, `INSERT INTO %s (username, datetime, audit_id, audit_tag, item)
				SELECT 'user' || i %% %d, now() - i * interval '1 s', gen_random_uuid(), '%[1]s', i FROM generate_series(1, 100) i;`, tagName(i), people)
		}
		if err := db.exec(ctx, statements.String()); err != nil {
			return err
		}
	}
	return nil
}
