package proof_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// proxy stands between a store and PostgreSQL and cuts connections after a write has
// gone through and before its answer comes back.
type proxy struct {
	listener net.Listener
	target   string
	handlers sync.WaitGroup

	mu    sync.Mutex
	cuts  []*cut // to be made, one for each of the next writes
	tries int    // statements to insert that were prepared or sent so far
	down  bool   // takes no connections
	conns map[net.Conn]bool
}

// cut is one connection to be cut.
type cut struct {
	// early closes the client's side as soon as the write is sent, while the server
	// is still at work. Otherwise it is closed after the server's answer, which
	// nobody gets to see, and after release.
	early   bool
	reached chan struct{} // closed when the write is certainly through
	release chan struct{}
}

// through returns a proxy and the dsn that leads through it.
func through(t *testing.T, dsn string) (*proxy, string) {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: fmt.Sprintf("%s:%d", cfg.Host, cfg.Port), conns: map[net.Conn]bool{}}
	p.handlers.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.handlers.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.goDown()
		p.handlers.Wait()
	})
	port := l.Addr().(*net.TCPAddr).Port
	return p, fmt.Sprintf("host=127.0.0.1 port=%d user=%s password='%s' dbname=%s sslmode=disable", port, cfg.User, cfg.Password, cfg.Database)
}

// cutNext cuts the connection of the next write, or of the one after those that are
// to be cut already.
func (p *proxy) cutNext(early bool) *cut {
	c := &cut{early: early, reached: make(chan struct{}), release: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts = append(p.cuts, c)
	return c
}

// wrote returns the cut that a write has to suffer, if any.
func (p *proxy) wrote() *cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.cuts) == 0 {
		return nil
	}
	c := p.cuts[0]
	p.cuts = p.cuts[1:]
	return c
}

// try counts a message that belongs to an insert: already preparing one waits for
// a table that is locked.
func (p *proxy) try() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries++
}

func (p *proxy) tried() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tries
}

// goDown ends all connections and takes no more until goUp.
func (p *proxy) goDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for conn := range p.conns {
		conn.Close()
	}
}

func (p *proxy) goUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// keep notes conn, so that goDown finds it, and closes it if that was called already.
func (p *proxy) keep(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[conn] = true
	if p.down {
		conn.Close()
	}
}

func (p *proxy) drop(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	conn.Close()
	delete(p.conns, conn)
}

func (p *proxy) serve(client net.Conn) {
	p.keep(client)
	defer p.drop(client)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	p.keep(server)
	defer p.drop(server)

	// The first message, which has no type, is also that of a request to cancel.
	in := bufio.NewReader(client)
	if body, err := message(in, nil); err != nil {
		return
	} else if _, err := server.Write(body); err != nil {
		return
	}
	suffers := make(chan *cut, 1)
	var answers sync.WaitGroup
	answers.Go(func() { p.answer(client, server, suffers) })
	defer answers.Wait()
	cutOff := p.ask(in, client, server, suffers)
	if !cutOff {
		server.Close()
	}
}

// ask passes the client's messages on, until it ends or is cut off.
func (p *proxy) ask(in *bufio.Reader, client, server net.Conn, suffers chan<- *cut) (cutOff bool) {
	inserts := map[string]bool{} // prepared statements
	writing := false
	for {
		kind, err := in.ReadByte()
		if err != nil {
			return false
		}
		msg, err := message(in, []byte{kind})
		if err != nil {
			return false
		}
		switch fields := bytes.Split(msg[5:], []byte{0}); kind {
		case 'P': // Parse: name, query
			if inserts[string(fields[0])] = isInsert(fields[1]); isInsert(fields[1]) {
				p.try()
			}
		case 'B': // Bind: portal, name of the statement
			writing = writing || inserts[string(fields[1])]
		case 'Q':
			writing = writing || isInsert(fields[0])
		}
		var c *cut
		if writing && (kind == 'S' || kind == 'Q') {
			writing = false
			p.try()
			if c = p.wrote(); c != nil {
				suffers <- c // before the server can answer
			}
		}
		if _, err := server.Write(msg); err != nil {
			return c != nil
		}
		if c != nil {
			if c.early {
				client.Close()
			}
			return true
		}
	}
}

func isInsert(query []byte) bool {
	return strings.Contains(strings.ToUpper(string(query)), "INSERT INTO")
}

// answer passes the server's messages on, until it ends or has answered the write
// after which the client is cut off.
func (p *proxy) answer(client, server net.Conn, suffers <-chan *cut) {
	defer client.Close()
	out := bufio.NewReader(server)
	var c *cut
	for {
		kind, err := out.ReadByte()
		if err != nil {
			break
		}
		msg, err := message(out, []byte{kind})
		if err != nil {
			break
		}
		if c == nil {
			select {
			case c = <-suffers:
			default:
			}
		}
		if c != nil {
			if kind == 'Z' { // ReadyForQuery: it is through
				close(c.reached)
				<-c.release
				return
			}
			continue
		}
		if _, err := client.Write(msg); err != nil {
			break
		}
	}
}

// message reads the rest of a message and returns it whole.
func message(r io.Reader, start []byte) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if n < 4 || n > 1<<28 {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	msg := append(append(start, size[:]...), make([]byte, n-4)...)
	_, err := io.ReadFull(r, msg[len(start)+4:])
	return msg, err
}
