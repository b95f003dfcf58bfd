//go:build !unix

package pgserver

// Server is a PostgreSQL server of its own; here none can be started.
type Server struct{}

// Start fails with [ErrNotInstalled].
func Start(...string) (*Server, error) { return nil, ErrNotInstalled }

// Port is the server's port.
func (s *Server) Port() int { return 0 }

// DSN is the server's DSN.
func (s *Server) DSN() string { return "" }

// Stop stops the server.
func (s *Server) Stop(Shutdown) error { return nil }

// Restart starts the server again.
func (s *Server) Restart() error { return nil }

// Close stops the server and removes its folder.
func (s *Server) Close() error { return nil }
