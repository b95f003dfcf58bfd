//go:build !race

package examples

var raceFlag []string
