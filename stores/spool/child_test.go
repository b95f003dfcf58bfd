package spool

const childEnv = "SPOOL_TEST_CHILD"

// children are what this test binary does when it is started as another process.
var children = map[string]func(arg string) error{}
