package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/terrane/terrane/dnsverify/zone"
	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/tenant"
)

// names publishes releases, and gives each folder the DNS records that its owner would set,
// with its first release even if that is refused: those of FOLDER.localhost and of the
// domains that the manifest lists.
type names struct {
	tenantsync.Publisher
	zone *zone.Server
	log  *slog.Logger

	mu       sync.Mutex
	byTenant map[tenant.ID][]tenant.Host
}

func newNames(next tenantsync.Publisher, z *zone.Server, log *slog.Logger) *names {
	return &names{Publisher: next, zone: z, log: log, byTenant: map[tenant.ID][]tenant.Host{}}
}

// Publish implements tenantsync.Publisher.
func (d *names) Publish(ctx context.Context, s *tenant.Snapshot) error {
	host, err := tenant.ParseHost(strings.ToLower(s.ID.Name()) + ".localhost")
	if err != nil {
		return fmt.Errorf("%w: the folder's name becomes FOLDER.localhost: want letters, digits and \"-\": %w", tenantsync.ErrRefused, err)
	}
	hosts := []tenant.Host{host}
	for _, p := range s.Manifest.Domains {
		if h, err := tenant.ParseHost(string(p)); err == nil { // wildcards have no record of their own
			hosts = append(hosts, h)
		}
	}
	if s.Manifest.Domains != nil {
		consenting := *s
		consenting.Manifest.Domains = append(slices.Clone(s.Manifest.Domains), tenant.Pattern(host))
		s = &consenting
	}
	if err := d.Publisher.Publish(ctx, s); err != nil {
		if !d.named(s.ID) { // else its visitors would be told that records are missing, and not why it is refused
			err = errors.Join(err, d.set(s.ID, hosts))
		}
		return err
	}
	return d.set(s.ID, hosts)
}

func (d *names) named(id tenant.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.byTenant[id]) > 0
}

// Remove implements tenantsync.Publisher.
func (d *names) Remove(ctx context.Context, id tenant.ID) {
	if err := d.set(id, nil); err != nil {
		d.log.Error("cannot remove the DNS records of a folder", "tenant", id, "err", err)
	}
	d.Publisher.Remove(ctx, id)
}

// set replaces the names of a tenant.
func (d *names) set(id tenant.ID, hosts []tenant.Host) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.byTenant[id] {
		if !slices.Contains(hosts, h) {
			if err := d.zone.RemoveTenant(h, "_terrane"); err != nil {
				return err
			}
		}
	}
	d.byTenant[id] = hosts
	loopback := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	for _, h := range hosts {
		if err := d.zone.SetTenant(h, loopback, "_terrane", "terrane="+string(id)+"/"); err != nil {
			return err
		}
	}
	return nil
}

// hosts are the FOLDER.localhost names.
func (d *names) hosts() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for _, hosts := range d.byTenant {
		if len(hosts) > 0 {
			names = append(names, string(hosts[0]))
		}
	}
	return names
}
