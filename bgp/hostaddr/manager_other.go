//go:build !linux

package hostaddr

import (
	"context"
	"errors"
)

// Manager exists on Linux only.
type Manager struct{}

// New fails.
func New(Options) (*Manager, error) {
	return nil, errors.New("hostaddr: addresses can be managed on Linux only")
}

// Check does nothing.
func (*Manager) Check(context.Context) error { return nil }

// Run does nothing.
func (*Manager) Run(context.Context) error { return nil }
