package hostaddr

import (
	"log/slog"
	"net/netip"
	"time"
)

// Options for New.
type Options struct {
	Addresses []netip.Addr
	Interface string        // "": lo
	Interval  time.Duration // between looks whether they are still there; 0: 1 s
	Logger    *slog.Logger
}
