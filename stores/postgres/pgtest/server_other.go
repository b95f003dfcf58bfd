//go:build !unix

package pgtest

import "testing"

// Server is a PostgreSQL server of its own; here none can be started.
type Server struct{ tb testing.TB }

func newServer([]string) (*Server, error) { return nil, errNoServer }

// Port is the server's port.
func (s *Server) Port() int { return 0 }

// DSN is the server's DSN.
func (s *Server) DSN() string { return "" }

// Stop stops the server.
func (s *Server) Stop(Shutdown) {}

// Restart starts the server again.
func (s *Server) Restart() {}

func (s *Server) remove() error { return nil }
