package esstore

import (
	"testing"
	"time"
)

// KeepForALongTime has what a Read learnt of the indices count for an hour.
func KeepForALongTime(t *testing.T) {
	before := wholeFor
	wholeFor = time.Hour
	t.Cleanup(func() { wholeFor = before })
}
