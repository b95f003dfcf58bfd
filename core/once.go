package core

import (
	"sync"

	"github.com/auditing-go/auditing/core/internal/values"
)

// maxOnceNames bounds the names that are remembered: callers choose them.
const maxOnceNames = 100

// onceNames are names of which a warning was given.
type onceNames struct {
	mu    sync.Mutex
	known map[string]bool
}

// add reports whether to warn of a name, which it cuts: the first time, of so many.
func (n *onceNames) add(name string) (cut string, first bool) {
	name = values.Cut(name, maxTagBytes)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known[name] || len(n.known) >= maxOnceNames {
		return name, false
	}
	if n.known == nil {
		n.known = map[string]bool{}
	}
	n.known[name] = true
	return name, true
}
