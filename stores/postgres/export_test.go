package postgres

import (
	"testing"
	"time"
)

func set(t *testing.T, setting *time.Duration, to time.Duration) {
	before := *setting
	*setting = to
	t.Cleanup(func() { *setting = before })
}

// IdleAtOnce has a store take each connection for one that was long idle.
func IdleAtOnce(t *testing.T) { set(t, &idleLong, -time.Second) }

// OldAtOnce has a store blame an error of the session on a connection however new.
func OldAtOnce(t *testing.T) { set(t, &young, -time.Second) }

// AgedAtOnce has connections that are made from now on be too old at once.
func AgedAtOnce(t *testing.T) { set(t, &maxAge, -time.Second) }
