//go:build race

package examples

// raceFlag builds the programs with the race detector when the tests are.
var raceFlag = []string{"-race"}
