package edge

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/terrane/terrane/bgp/bfd"
	"github.com/terrane/terrane/bgp/hostaddr"
	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/certs/storage"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/conns"
	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/internal/rediskv"
	tenantsync "github.com/terrane/terrane/sync"
)

// Faults adds to the faults of cfg those that each part finds in its options, and returns
// all of them, each with file, line and key. It reads the files that cfg names. It makes
// and starts nothing.
func Faults(cfg *config.Config) error {
	for key, dir := range map[string]string{"edge.data": cfg.Edge.Data, "tls.storage": cfg.TLS.Storage} {
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			cfg.Fault(key, "%s is a file: want a folder", dir)
		}
	}
	fetchOptions, noRoots := fetchOptions(&cfg.Fetch)
	latticeFaults := fault.Rename(latticeOptions(cfg).Check(), func(key string) string {
		switch key {
		case "name", "region":
			return "edge." + key
		case "dir":
			return "edge.data"
		}
		return "lattice." + key
	})
	_, noEngine := engineOf(cfg.Engine)
	rest := []error{
		cfg.Faults("engine", noEngine),
		cfg.Faults("", latticeFaults),
		cfg.Faults("", tenantsync.Options{Stores: stores(cfg), Limits: Limits(&cfg.Limits), Reread: int64(cfg.Edge.Reread)}.Check()),
		cfg.Faults("", gitHostFaults(cfg)),
		cfg.Faults("dns", dnsOptions(&cfg.DNS).Check()),
		cfg.Faults("fetch", errors.Join(noRoots, fetchOptions.Check())),
		cfg.Faults("tls", tlsFaults(&cfg.TLS)),
		cfg.Faults("bgp", bgpFaults(cfg)),
	}
	if cfg.State.Provider == "redis" {
		rest = append(rest, cfg.Faults("state", rediskv.Options{URL: string(cfg.State.URL)}.Check()))
	}
	if cfg.Admin.Listen != "" {
		rest = append(rest, cfg.Faults("admin", admin.Options{Listen: cfg.Admin.Listen, Token: string(cfg.Admin.Token)}.Check()))
	}
	if n, most := cfg.Limits.Connections, conns.Room(); n > most {
		cfg.Fault("limits.connections", "%d: this process may open %d files, which leaves room for %d connections: raise that limit (LimitNOFILE in the unit, ulimit -n) or lower this one",
			n, conns.Descriptors(), most)
	}
	return errors.Join(append(rest, cfg.Err())...)
}

func tlsFaults(c *config.TLS) error {
	var f fault.List
	for _, secret := range []struct {
		key   string
		value config.Secret
	}{{"tickets", c.Tickets}, {"key", c.Key}} {
		if n := len(secret.value); n > 0 && n < storage.MinSecret {
			f.Add(secret.key, "the secret has %d characters: want at least %d of them", n, storage.MinSecret)
		}
	}
	switch c.Mode {
	case "acme":
		o, err := acmeOptions(c)
		o.Key = nil // judged above
		return errors.Join(f.Err(), err, o.Check())
	case "files":
		return errors.Join(f.Err(), filesOptions(c).Check())
	}
	return f.Err()
}

func gitHostFaults(c *config.Config) error {
	o, stores := gitHostOptions(c)
	return fault.Rename(o.Check(), func(key string) string { return reindex(key, "repo", "store", stores) })
}

func bgpFaults(c *config.Config) error {
	if c.BGP == nil {
		return nil
	}
	peers, neighbors := bfdPeers(c.BGP)
	watch := fault.Rename(bfd.Options{Peers: peers}.Check(), func(key string) string {
		if !strings.HasSuffix(key, ".interval") {
			return "" // a value of the neighbor, which bgp judges
		}
		return strings.Replace(reindex(key, "peer", "neighbor", neighbors), ".interval", ".bfd_interval", 1)
	})
	faults := announcerOptions(c.BGP).Check()
	if faults == nil && c.BGP.ManageAddress { // else it would only repeat what is wrong with the prefixes
		if err := (hostaddr.Options{Addresses: announced(c)}).Check(); err != nil {
			faults = &fault.Fault{Key: "manage_address", Err: err}
		}
	}
	return errors.Join(faults, watch)
}

// reindex makes the key "FROM[i].X" of a list's element "TO[j].X", where j is the element
// of the configuration that element i was made from.
func reindex(key, from, to string, index []int) string {
	var i int
	if _, err := fmt.Sscanf(key, from+"[%d]", &i); err != nil || i >= len(index) {
		return key
	}
	_, rest, _ := strings.Cut(key, "]")
	return fmt.Sprintf("%s[%d]%s", to, index[i], rest)
}
