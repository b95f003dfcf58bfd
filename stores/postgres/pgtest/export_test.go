package pgtest

import "github.com/auditing-go/auditing/stores/postgres/pgserver"

// HideInstallations leaves no server to start.
func HideInstallations() {
	startServer = func(...string) (*pgserver.Server, error) { return nil, pgserver.ErrNotInstalled }
}
