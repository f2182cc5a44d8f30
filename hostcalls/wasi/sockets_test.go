package wasi_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
)

// names resolves two names.
type names struct{ hostcalls.Resolver }

func (names) LookupIP(_ context.Context, name string, ipv6 bool) ([]netip.Addr, error) {
	switch {
	case name != "db.example":
		return nil, errors.New("no such name")
	case ipv6:
		return []netip.Addr{netip.MustParseAddr("2001:db8::1:2")}, nil
	}
	return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
}

func TestNameLookup(t *testing.T) {
	g := newGuest(t, &hostcalls.Tenant{Resolver: names{}}, nil)
	net := g.Call("wasi:sockets/instance-network instance-network")
	resolve := func(name string) string {
		p, n := g.Put(name)
		if g.Call("wasi:sockets/ip-name-lookup resolve-addresses", net, p, n, ret); g.U8(0) != 0 {
			return fmt.Sprint("refused ", g.U8(4))
		}
		s, out := g.U32(4), ""
		g.Call("wasi:io/poll [method]pollable.block", g.Call("wasi:sockets/ip-name-lookup [method]resolve-address-stream.subscribe", s))
		for {
			g.Call("wasi:sockets/ip-name-lookup [method]resolve-address-stream.resolve-next-address", s, ret)
			switch {
			case g.U8(0) != 0:
				return fmt.Sprint(out, "error ", g.U8(2))
			case g.U8(2) == 0:
				return out
			case g.U8(4) == 0:
				out += fmt.Sprintf("%d.%d.%d.%d ", g.U8(6), g.U8(7), g.U8(8), g.U8(9))
			default:
				out += fmt.Sprintf("%x..%x ", g.U32(6)&0xffff, g.U32(20)&0xffff)
			}
		}
	}
	for name, want := range map[string]string{
		"db.example": "192.0.2.1 2001..2 ", "none.example": "error 18", "192.0.2.9": "192.0.2.9 ", "": "refused 3", "a/b": "refused 3",
	} {
		if got := resolve(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	for range 20 {
		if got := resolve("db.example"); got == "refused 10" {
			break
		} else if strings.HasPrefix(got, "error") {
			t.Error(got)
		}
	}
	for _, kind := range []string{"tcp", "udp"} {
		g.Call("wasi:sockets/"+kind+"-create-socket create-"+kind+"-socket", 0, ret)
		if g.U8(0) != 1 || g.U8(4) != 2 {
			t.Errorf("%s: %d %d", kind, g.U8(0), g.U8(4))
		}
		g.Traps("no handle", "wasi:sockets/"+kind+" [method]"+kind+"-socket.subscribe", net)
	}
}
