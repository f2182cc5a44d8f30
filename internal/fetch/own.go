package fetch

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Infrastructure is what no guest may reach besides the host's own addresses.
type Infrastructure struct {
	Addresses []netip.Addr // of the edge, its neighbors and its peers
	// Resolvers are refused where they are on a network of this host; others are public.
	Resolvers []netip.Addr
	Names     []string // host names, whose addresses are looked up now and then
	// Peers returns further addresses of other edges. It is asked when the host is.
	Peers func() []netip.Addr
}

const (
	ownKept   = time.Second // for how long the host's addresses are believed
	namesKept = time.Minute // and those of names
	namesWait = 2 * time.Second
)

// own knows the addresses of this edge: those given to it, and those that the host has
// when it is asked, as they change.
type own struct {
	fixed     []netip.Addr
	resolvers []netip.Addr
	names     []string

	interfaces func() ([]net.Addr, error)
	delivered  func(netip.Addr) bool // whether the kernel delivers what is sent there to this host
	lookup     func(context.Context, string) ([]netip.Addr, error)
	ask        func() []netip.Addr
	now        func() time.Time

	mu     sync.Mutex
	asked  time.Time
	nets   []netip.Prefix // of the host's interfaces, with the host's address in them
	peers  []netip.Addr
	looked time.Time               // when the last lookup of the names began
	named  map[string][]netip.Addr // what the last one that has ended found; replaced whole

	first   chan struct{} // closed when the first lookup has ended
	looking sync.WaitGroup
}

func newOwn(i Infrastructure) *own {
	o := &own{
		resolvers: i.Resolvers, names: i.Names, ask: i.Peers, first: make(chan struct{}),
		interfaces: net.InterfaceAddrs, delivered: delivered, now: time.Now,
		lookup: func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name) // as what connects to them does
		},
	}
	o.fixed = plain(i.Addresses)
	if o.ask == nil {
		o.ask = func() []netip.Addr { return nil }
	}
	return o
}

// plain is addrs without mapped ones and zones.
func plain(addrs []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, len(addrs))
	for i, ip := range addrs {
		out[i] = ip.Unmap().WithZone("")
	}
	return out
}

// has reports whether ip, which is neither mapped nor has a zone, is an address of this
// edge. It fails when the host does not tell its addresses. Only before the names were looked
// up once it waits for that.
func (o *own) has(ip netip.Addr) (bool, error) {
	if slices.Contains(o.fixed, ip) || o.delivered(ip) {
		return true, nil
	}
	o.refresh()
	if len(o.names) > 0 {
		<-o.first
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := o.now(); now.Sub(o.asked) >= ownKept {
		addrs, err := o.interfaces()
		if err != nil {
			return false, err
		}
		o.nets, o.peers, o.asked = o.nets[:0], plain(o.ask()), now
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				o.nets = append(o.nets, netip.PrefixFrom(p.Addr().Unmap().WithZone(""), p.Bits()))
			}
		}
	}
	for _, p := range o.nets {
		if p.Addr() == ip || p.Contains(ip) && slices.Contains(o.resolvers, ip) {
			return true, nil
		}
	}
	for _, addrs := range o.named {
		if slices.Contains(addrs, ip) {
			return true, nil
		}
	}
	return slices.Contains(o.peers, ip), nil
}

// refresh starts a lookup of the names in the background if their addresses are old. One that
// is in progress ends long before the next is due.
func (o *own) refresh() {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	if len(o.names) == 0 || now.Sub(o.looked) < namesKept {
		return
	}
	isFirst := o.looked.IsZero()
	o.looked = now
	before := o.named
	o.looking.Go(func() {
		named := o.look(before)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.named = named
		if isFirst {
			close(o.first)
		}
	})
}

// look asks for the addresses of the names, all at once. A name that cannot be looked up
// has the addresses it had; one that does not exist has none.
func (o *own) look(before map[string][]netip.Addr) map[string][]netip.Addr {
	ctx, cancel := context.WithTimeout(context.Background(), namesWait)
	defer cancel()
	found := make([][]netip.Addr, len(o.names))
	var wg sync.WaitGroup
	for i, name := range o.names {
		wg.Go(func() {
			addrs, err := o.lookup(ctx, name)
			if dns, ok := errors.AsType[*net.DNSError](err); err != nil && (!ok || !dns.IsNotFound) {
				addrs = before[name]
			}
			found[i] = plain(addrs)
		})
	}
	wg.Wait()
	named := make(map[string][]netip.Addr, len(o.names))
	for i, name := range o.names {
		named[name] = found[i]
	}
	return named
}
