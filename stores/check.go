package stores

import "context"

// Checker is a store that can look at how it is set up.
type Checker interface {
	// Check returns what it has found, gaps among it. The error says why that could not be
	// looked at. It changes nothing.
	Check(ctx context.Context) ([]Finding, error)
}

// Finding is something that [Checker] has found.
type Finding struct {
	// Gap says that it makes the trail weaker than it should be.
	Gap bool
	// Text says what it is.
	Text string
	// Fix is the statement that mends a gap, "" when none does.
	Fix string
}
