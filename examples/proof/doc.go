// Package proof holds the tests that an audit which returned nil is stored, once,
// whatever happens to the process, the connection, the server and its disk. They
// run the whole way, from Audit down to the rows, which they count without the
// library:
//
//   - Kill: processes that audit are killed at random moments.
//   - Transactions: processes that change rows and audit that in the same transactions are
//     killed; some of these are rolled back, panic, lose a savepoint or fail to serialise.
//   - Relays: processes that do so on an outbox, and pass its events on side by side, are killed.
//   - Commit unknown: a proxy cuts connections between a commit and its answer.
//   - Outage: PostgreSQL is stopped, restarted, made read-only, its connections
//     are ended and its disk is filled.
//   - Writers: eight processes create and extend the same tables at once.
//   - Requests: clients hang up, servers shut down, sessions change and contexts are
//     used again while handlers audit.
//   - Leaks: goroutines, connections and file descriptors are given back.
//
// By default it takes a few minutes; what is random is repeated for longer with
//
//	go test -race -timeout 2h ./examples/proof -run Kill -v -proof.for 10m
//	go test -race -timeout 2h ./examples/proof -run Kill -v -proof.rounds 250
//	go test -race -timeout 2h ./examples/proof -run Transactions -v -proof.transactions 1000
//	go test -race -timeout 2h ./examples/proof -run Relays -v -proof.relays 200
//	go test -race ./examples/proof -run Requests -v -proof.clients 2000
//
// It needs a local installation of PostgreSQL for the outages, and runs the other
// tests on the server named by AUDITING_POSTGRES_DSN if there is one; see package
// pgtest, and package estest for Elasticsearch. Torn files, bounds and restarts of the
// spool are proved in its own package.
package proof
