//go:build !linux || !amd64

package clocktest

import (
	"errors"
	"time"
)

// Clock is the wall clock of a process.
type Clock struct{}

// Of fails: it wants Linux on amd64.
func Of(int) (*Clock, error) { return nil, errors.ErrUnsupported }

// Set fails.
func (*Clock) Set(time.Duration) error { return errors.ErrUnsupported }
