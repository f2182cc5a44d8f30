//go:build !linux

package hostaddr

import (
	"context"
	"fmt"
)

// Manager exists on Linux only.
type Manager struct{}

// New fails.
func New(o Options) (*Manager, error) {
	return nil, fmt.Errorf("hostaddr: %w", o.Check())
}

// Check does nothing.
func (*Manager) Check(context.Context) error { return nil }

// Run does nothing.
func (*Manager) Run(context.Context) error { return nil }
