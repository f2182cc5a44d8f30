package fetch

import (
	"errors"
	"net/netip"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestOwnAddressesOfTheKernel adds public addresses to a network of the test's own, where
// guests must not reach them from then on.
func TestOwnAddressesOfTheKernel(t *testing.T) {
	result := make(chan error)
	go func() { // its thread is in the new network, and ends with it
		runtime.LockOSThread()
		result <- ownOfTheKernel()
	}()
	if err := <-result; errors.Is(err, unix.EPERM) {
		t.Skip("a network namespace takes root")
	} else if err != nil {
		t.Fatal(err)
	}
}

func ownOfTheKernel() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	g := guard{own: newOwn(Infrastructure{})}
	refused := func(ip string) bool { return isRefusal(g.check(netip.MustParseAddr(ip))) }
	if refused("9.9.9.9") || refused("9.9.8.7") {
		return errors.New("foreign addresses are refused")
	}
	addr, err := netlink.ParseAddr("9.9.9.9/32")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(lo, addr); err != nil {
		return err
	}
	network, err := netlink.ParseIPNet("9.9.8.0/24")
	if err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: network, Table: unix.RT_TABLE_LOCAL, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST}); err != nil {
		return err
	}
	if !refused("9.9.9.9") || !refused("::ffff:9.9.9.9") {
		return errors.New("an address of an interface is not refused")
	}
	if !refused("9.9.8.7") {
		return errors.New("an address of a local route is not refused")
	}
	if err := netlink.AddrDel(lo, addr); err != nil {
		return err
	}
	g.own.asked = g.own.asked.Add(-ownKept)
	if refused("9.9.9.9") {
		return errors.New("an address is refused that the host has no more")
	}
	return nil
}
