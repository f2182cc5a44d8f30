package hostaddr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Manager owns addresses of this host while it runs.
type Manager struct {
	opts Options
	log  *slog.Logger
	last atomic.Value // string: why the addresses could not be put on
}

// Check is the function Check for the addresses of the manager, and says what keeps it
// from putting them on. It may be called at any time.
func (m *Manager) Check(context.Context) error {
	return check(m.opts.Addresses, func(netip.Addr) string {
		why, _ := m.last.Load().(string)
		if why == "" {
			return "it will be in a moment"
		}
		return why
	})
}

// New validates the options.
func New(opts Options) (*Manager, error) {
	if err := opts.Check(); err != nil {
		return nil, fmt.Errorf("hostaddr: %w", err)
	}
	if opts.Interface == "" {
		opts.Interface = "lo"
	}
	if opts.Interval == 0 {
		opts.Interval = time.Second
	}
	if opts.Interval < 0 {
		return nil, errors.New("hostaddr: want an interval above 0")
	}
	m := &Manager{opts: opts, log: opts.Logger}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	return m, nil
}

// Run puts the addresses on the interface, again whenever they vanish, and
// takes them off when the context ends, even those that were there before: an
// earlier process may have been killed. It returns nil.
func (m *Manager) Run(ctx context.Context) error {
	tick := time.NewTicker(m.opts.Interval)
	defer tick.Stop()
	for {
		why := ""
		if err := m.apply(netlink.AddrReplace); err != nil {
			why = err.Error()
		}
		if m.last.Swap(why) != why && why != "" {
			m.log.Error("anycast addresses cannot be put on the host", "interface", m.opts.Interface, "err", why)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err := m.apply(netlink.AddrDel); err != nil {
				m.log.Error("anycast addresses cannot be taken off the host", "interface", m.opts.Interface, "err", err)
			}
			return nil
		}
	}
}

// apply does to all addresses what is not done yet.
func (m *Manager) apply(do func(netlink.Link, *netlink.Addr) error) error {
	link, err := netlink.LinkByName(m.opts.Interface)
	if err != nil {
		return fmt.Errorf("interface %s: %w", m.opts.Interface, err)
	}
	var faults []error
	for _, a := range m.opts.Addresses {
		addr := &netlink.Addr{
			IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())},
			Flags: unix.IFA_F_NODAD, // else IPv6 cannot be bound to at once
		}
		err := do(link, addr)
		if err == nil || errors.Is(err, syscall.EADDRNOTAVAIL) {
			continue
		}
		if errors.Is(err, syscall.EPERM) {
			err = errors.New("no CAP_NET_ADMIN: grant it, or put the address on by other means")
		}
		faults = append(faults, fmt.Errorf("%v: %w", a, err))
	}
	return errors.Join(faults...)
}
