package hostaddr

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"time"
)

// Options for New.
type Options struct {
	Addresses []netip.Addr
	Interface string        // "": lo
	Interval  time.Duration // between looks whether they are still there; 0: 1 s
	Logger    *slog.Logger
}

// Check returns why New refuses the addresses, nil if it takes them.
func (o Options) Check() error {
	if runtime.GOOS != "linux" {
		return errors.New("addresses can be managed on Linux only")
	}
	if len(o.Addresses) == 0 {
		return errors.New("none of dns.addresses is in one of the prefixes: there is no address to put on the host")
	}
	for _, a := range o.Addresses {
		if !a.IsValid() || a.Is4In6() || a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.Zone() != "" {
			return fmt.Errorf("%v: want a unicast address that is not the host's own loopback", a)
		}
	}
	return nil
}
