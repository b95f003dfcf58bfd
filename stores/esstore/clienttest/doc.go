// Package clienttest tests esstore with the clients that its users have: those of
// Elasticsearch 7, 8 and 9, their transport alone, and OpenSearch's. It is a module of
// its own, so that nobody who imports the store has to download any of them:
//
//	cd stores/esstore/clienttest && go test ./...
package clienttest
