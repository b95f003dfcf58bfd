// Package examples is the place of the programs that a newcomer runs:
//
//	go run ./examples/quickstart    net/http
//	go run ./examples/gin           gin
//	go run ./examples/echo          echo
//	go run ./examples/elasticsearch gin on Elasticsearch
//	go run ./examples/outage        what becomes of audits while PostgreSQL is away
//
// The first three are the same small shop with an audit trail, which one looks at under
// /audit/, on an embedded SQLite unless -store and -dsn say otherwise. The tests of this
// package drive them over HTTP, and prove what the READMEs say.
package examples
