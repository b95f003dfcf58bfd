package postgres

import (
	"testing"
	"time"
)

// IdleAtOnce has a store take each connection for one that was long idle.
func IdleAtOnce(t *testing.T) {
	before := idleLong
	idleLong = -time.Second
	t.Cleanup(func() { idleLong = before })
}
