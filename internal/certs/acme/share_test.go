package acme_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/tenant"
)

// TestSharesOfNetworks has one network after the other ask for as many names as it can, none
// of which gets its certificate: all workers are only taken by four of them.
func TestSharesOfNetworks(t *testing.T) {
	m, err := acme.New(acme.Options{Storage: newFolder(t, t.TempDir(), 0), Workers: 8,
		Permit: func(context.Context, tenant.Host, netip.Addr) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	left, leave := context.WithCancel(t.Context())
	leave() // the visitors do not wait, their orders do
	var taken []int
	for network := range 5 {
		from, n := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(network)}), 24), 0
		for i := range 20 {
			if _, err := acme.Await(m, left, fmt.Sprintf("www.n%d-%d.example", network, i), from); errors.Is(err, context.Canceled) {
				n++
			}
		}
		taken = append(taken, n)
	}
	if want := []int{4, 2, 1, 1, 1}; !slices.Equal(taken, want) {
		t.Errorf("networks have %d orders in progress, want %d", taken, want)
	}
}
