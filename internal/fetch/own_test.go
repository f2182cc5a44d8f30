package fetch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// host is a machine whose addresses a test changes.
type host struct {
	addrs []string // of interfaces, with their networks
	fails error
	names map[string][]netip.Addr // nil value: cannot be looked up
	peers []netip.Addr
	asked int
	now   time.Time
}

func (h *host) own(i Infrastructure) *own {
	i.Peers = func() []netip.Addr { return h.peers }
	o := newOwn(i)
	o.delivered = func(netip.Addr) bool { return false }
	o.now = func() time.Time { return h.now }
	o.interfaces = func() ([]net.Addr, error) {
		h.asked++
		var list []net.Addr
		for _, a := range h.addrs {
			ip, network, err := net.ParseCIDR(a)
			if err != nil {
				return nil, err
			}
			list = append(list, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		return list, h.fails
	}
	o.lookup = func(_ context.Context, name string) ([]netip.Addr, error) {
		addrs, ok := h.names[name]
		switch {
		case !ok:
			return nil, &net.DNSError{Name: name, IsNotFound: true}
		case addrs == nil:
			return nil, &net.DNSError{Name: name, IsTimeout: true}
		}
		return addrs, nil
	}
	return o
}

func (h *host) check(t *testing.T, g *guard, refused bool, ips ...string) {
	t.Helper()
	for _, ip := range ips {
		if err := g.check(netip.MustParseAddr(ip)); isRefusal(err) != refused || err != nil && !refused {
			t.Errorf("%s: %v, want a refusal: %v", ip, err, refused)
		}
	}
}

// TestOwnAddresses: what the edge is reached at is asked when a guest dials.
func TestOwnAddresses(t *testing.T) {
	h := &host{addrs: []string{"127.0.0.1/8", "9.9.9.9/24", "2a00::9/64"}, now: time.Unix(1000, 0), names: map[string][]netip.Addr{
		"hub.example": {netip.MustParseAddr("::ffff:8.8.4.4"), netip.MustParseAddr("2a00:1::1")}, "down.example": nil,
	}}
	g := &guard{reserved: reserved(), own: h.own(Infrastructure{
		Addresses: []netip.Addr{netip.MustParseAddr("5.5.5.5"), netip.MustParseAddr("::ffff:5.5.5.6"), netip.MustParseAddr("2a00:5::5%eth0")},
		Resolvers: []netip.Addr{netip.MustParseAddr("9.9.9.53"), netip.MustParseAddr("1.1.1.1")},
		Names:     []string{"hub.example", "down.example", "gone.example"},
	})}
	h.check(t, g, true, "9.9.9.9", "::ffff:9.9.9.9", "2a00::9", "2a00::9%lo", "5.5.5.5", "5.5.5.6", "2a00:5::5", "8.8.4.4", "2a00:1::1",
		"9.9.9.53")
	h.check(t, g, false, "9.9.9.8", "1.1.1.1", "2a00::8", "8.8.8.8")
	if h.asked != 1 {
		t.Errorf("the host was asked %d times within a second", h.asked)
	}

	h.addrs = []string{"7.7.7.7/32"} // the address moves, and an edge joins
	h.peers = []netip.Addr{netip.MustParseAddr("::ffff:4.4.4.4")}
	h.check(t, g, false, "4.4.4.4")
	h.now = h.now.Add(ownKept)
	h.check(t, g, true, "7.7.7.7", "8.8.4.4", "4.4.4.4")
	h.check(t, g, false, "9.9.9.9", "9.9.9.53")

	h.names = map[string][]netip.Addr{"hub.example": nil, "down.example": {netip.MustParseAddr("6.6.6.6")}}
	h.check(t, g, false, "6.6.6.6")
	h.now = h.now.Add(namesKept)
	g.own.refresh()
	g.own.looking.Wait()
	h.check(t, g, true, "6.6.6.6", "8.8.4.4") // what cannot be looked up is as it was
	delete(h.names, "hub.example")
	h.now = h.now.Add(namesKept)
	g.own.refresh()
	g.own.looking.Wait()
	h.check(t, g, false, "8.8.4.4")

	h.fails = errors.New("no descriptors")
	h.now = h.now.Add(ownKept)
	if err := g.check(netip.MustParseAddr("8.8.8.8")); !errors.Is(err, h.fails) {
		t.Errorf("a host that does not tell its addresses: %v", err)
	}
}

// TestNoFetchWaitsForNames has a resolver that does not answer: only the first fetch waits for
// it, and later ones are judged by what was known before.
func TestNoFetchWaitsForNames(t *testing.T) {
	h := &host{now: time.Unix(1000, 0)}
	o := h.own(Infrastructure{Names: []string{"hub.example"}})
	answers := make(chan netip.Addr)
	o.lookup = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{<-answers}, nil }
	g := &guard{own: o}
	first := make(chan error)
	go func() { first <- g.check(netip.MustParseAddr("8.8.4.4")) }()
	answers <- netip.MustParseAddr("8.8.4.4") // there was a lookup
	if err := <-first; !isRefusal(err) {
		t.Errorf("the first fetch did not wait for the addresses of the names: %v", err)
	}
	h.now = h.now.Add(namesKept)
	h.check(t, g, true, "8.8.4.4") // hangs if it waits
	h.check(t, g, false, "8.8.8.8")
	answers <- netip.MustParseAddr("8.8.8.8")
	o.looking.Wait()
	h.check(t, g, true, "8.8.8.8")
	h.check(t, g, false, "8.8.4.4")
}

// TestDeny: the operator's list goes before every other, in every form of an address.
func TestDeny(t *testing.T) {
	c, err := New(Options{AllowPrivate: true, Deny: []string{"10.0.0.0/8", "192.0.2.7", "[2001:db8::7]", "2001:db8:1::/48", "Admin.example", "*.corp.example", "ports.example:8080", "B\u00fccher.example"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, host := range []string{
		"10.1.2.3", "192.0.2.7", "192.0.2.7:81", "[::ffff:10.0.0.1]", "[64:ff9b::a00:1]", "[64:ff9b:1::a00:1]", "[64:ff9b:1:a00:0:100::]",
		"[2002:a00:1::]", "[2001:0:a00:1::]", "[2001:0:8:8:8:8:f5ff:fffe]", "[::10.0.0.1]", "[::ffff:0:10.0.0.1]", "[2001:db8:2::5efe:a00:1]",
		"[2001:db8::7]", "[2001:db8:1:2::]", "admin.example", "ADMIN.example.", "a.b.corp.example", "ports.example:8080",
		// Other spellings of what is dialed.
		"ａdmin.example", "admin。example", "admin.example。", "ad\u00admin.example", "a.ｃorp.example", "ports.example:08080", "b\u00fccher.example", "xn--bcher-kva.example",
	} {
		if _, err := get(c, t.Context(), "http://"+host+"/"); !isRefusal(err) {
			t.Errorf("%s: got %v, want a refusal", host, err)
		}
	}
	u := serve(t, nil)
	for _, host := range []string{"admin.example", "admin.example:", "admin.example:x", "admin.example:08", "admin.example:.other.example", "admin.example:80:"} {
		if _, err := c.Fetch(t.Context(), fetchRequest(u, host)); !isRefusal(err) {
			t.Errorf("%q as the host header: %v", host, err)
		}
	}
	for _, c := range []struct{ entry, want string }{
		{"10.0.0.1/8", `has bits behind its length: want "10.0.0.0/8"`}, {"::ffff:10.0.0.0/104", "a network of IPv4"},
		{"*", "want a network"}, {"http://x", "want a network"}, {"10.0.0.0/33", "want a network"}, {"", "want a network"},
		{"192.0.2.1:80", "leave the port out"}, {"[2001:db8::1]:80", "leave the port out"},
	} {
		if _, err := New(Options{Deny: []string{c.entry}}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.entry, err, c.want)
		}
	}
}

// TestLabsReachNoMetadataByGateways: nor is the cloud's metadata reached by a form that
// leads to it.
func TestLabsReachNoMetadataByGateways(t *testing.T) {
	g := guard{reserved: metadata()}
	for _, ip := range []string{"64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::a9fe:a9fe", "2001:0:a9fe:a9fe::", "64:ff9b:1::a9fe:a9fe", "::ffff:a9fe:a9fe"} {
		if err := g.check(netip.MustParseAddr(ip)); !isRefusal(err) {
			t.Errorf("%s: %v, want a refusal", ip, err)
		}
	}
}

func BenchmarkOwn(b *testing.B) {
	o := newOwn(Infrastructure{})
	ip := netip.MustParseAddr("8.8.8.8")
	for b.Loop() {
		if ours, err := o.has(ip); ours || err != nil {
			b.Fatal(ours, err)
		}
	}
}
