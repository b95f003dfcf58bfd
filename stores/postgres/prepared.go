package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/jackc/pgx/v5/pgconn"
)

// prepared is what the server has prepared on a connection. It keeps all of it, and plans,
// so that it is bounded.
type prepared struct {
	statements map[string]statement // by text
	size, most int
	doubt      []string // texts that were prepared or dropped in the round trip under way
}

// statement is one that is prepared. Its size is counted in what it costs the server: one
// that writes by its columns, one that reads by its text.
type statement struct {
	name string
	size int
}

// There is room for what a thousand tables of ordinary width need: two statements each for
// writing, and a first page and the next ones for reading.
const (
	maxWriteColumns = 30_000
	maxReadText     = 512 << 10
)

// preparedOn is kept with the connection itself, which is the pool's.
func preparedOn(c *pgconn.PgConn, most int) *prepared {
	const key = "auditing"
	k, ok := c.CustomData()[key].(*prepared)
	if !ok {
		k = &prepared{statements: map[string]statement{}, most: most}
		c.CustomData()[key] = k
	}
	return k
}

// send sends a statement, which it prepares unless it was; with a nil k it prepares none.
func (k *prepared) send(p *pgconn.Pipeline, query string, size int, params [][]byte, formats []int16) {
	if k == nil {
		p.SendQueryParams(query, params, nil, formats, nil)
		return
	}
	s, ok := k.statements[query]
	if !ok {
		if k.size+size > k.most {
			for text, old := range k.statements {
				p.SendDeallocate(old.name)
				k.doubt = append(k.doubt, text)
			}
			clear(k.statements)
			k.size = 0
		}
		s = statement{statementName(query), size}
		p.SendPrepare(s.name, query, nil)
		k.statements[query] = s
		k.size += size
		k.doubt = append(k.doubt, query)
	}
	p.SendQueryPrepared(s.name, params, formats, nil)
}

// end is called after each round trip. What the server has prepared or dropped before an
// error is not known: none of it is taken for prepared, and none is in the way of its next name.
func (k *prepared) end(ctx context.Context, c *pgconn.PgConn, err error) {
	if k == nil {
		return
	}
	if err != nil && len(k.doubt) > 0 && !c.IsClosed() {
		p := c.StartPipeline(ctx)
		for _, text := range k.doubt {
			p.SendDeallocate(statementName(text))
			k.size -= k.statements[text].size
			delete(k.statements, text)
		}
		_ = p.Sync()
		_ = p.Close()
	}
	k.doubt = k.doubt[:0]
}

// statementName names a statement after its text, so that whoever comes upon the name
// finds the same statement behind it.
func statementName(sql string) string {
	sum := sha256.Sum256([]byte(sql))
	return "auditing_" + hex.EncodeToString(sum[:16])
}
