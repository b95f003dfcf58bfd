//go:build !unix

package proof_test

import "errors"

var errDiskFull = errors.New("disk full")
