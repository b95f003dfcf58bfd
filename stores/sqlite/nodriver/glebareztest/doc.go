// Package glebareztest proves that package nodriver works in a program on
// github.com/glebarez/sqlite. It is a module of its own, so that this driver is
// nobody's dependency:
//
//	cd stores/sqlite/nodriver/glebareztest && go test ./...
package glebareztest
