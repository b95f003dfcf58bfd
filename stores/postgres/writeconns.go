package postgres

import "sync"

// writeConns are the connections that are kept for writing. The one used last is taken
// first: a process of the server that has just worked is quicker than one that slept,
// which a lone caller notices.
type writeConns struct {
	free chan struct{} // receiving from it is the right to one take

	mu   sync.Mutex
	idle []*writeConn
}

func newWriteConns(n int) *writeConns { return &writeConns{free: make(chan struct{}, n)} }

// len is how many there are, used or not.
func (s *writeConns) len() int { return cap(s.free) }

func (s *writeConns) take() *writeConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.idle) - 1
	l := s.idle[last]
	s.idle = s.idle[:last]
	return l
}

func (s *writeConns) give(l *writeConn) {
	s.mu.Lock()
	s.idle = append(s.idle, l)
	s.mu.Unlock()
	s.free <- struct{}{}
}
