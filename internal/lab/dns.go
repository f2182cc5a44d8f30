package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
)

// DNS is an authoritative DNS server: Knot DNS with one zone.
type DNS struct {
	node   *Node
	zone   string // with the trailing dot
	file   string
	config string

	mu     sync.Mutex
	serial int
}

// StartDNS starts a DNS server on the node that serves the zone, and returns once it does.
func (n *Node) StartDNS(ctx context.Context, listen netip.AddrPort, zone string) (*DNS, error) {
	dir := n.lab.Path("dns-" + n.name)
	d := &DNS{node: n, zone: zone, file: dir + "/zone", config: dir + "/knot.conf"}
	config := fmt.Sprintf(`server:
    rundir: "%[1]s"
    listen: "%[2]s@%[3]d"
control:
    listen: "knot.sock"
database:
    storage: "%[1]s"
log:
  - target: stderr
    any: info
zone:
  - domain: "%[4]s"
    file: "%[5]s"
    storage: "%[1]s"
    journal-content: none
    zonefile-sync: -1
    zonefile-load: whole
    semantic-checks: on
`, dir, listen.Addr(), listen.Port(), zone, d.file)
	err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(d.config, []byte(config), 0o600), d.write(nil))
	if err != nil {
		return nil, err
	}
	p, err := n.Start(ctx, "knotd", "knotd", "-c", d.config)
	if err != nil {
		return nil, err
	}
	_, err = p.Line(ctx, "server started")
	return d, err
}

// Set replaces the zone's records, each a line of a zone file with names relative
// to the zone, and returns once they are served.
func (d *DNS) Set(ctx context.Context, records ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.write(records); err != nil {
		return err
	}
	_, err := d.node.Run(ctx, "knotc", "-c", d.config, "-b", "zone-reload", d.zone)
	return err
}

func (d *DNS) write(records []string) error {
	d.serial++
	// One second of negative caching: it is the shortest, and tests wait for it.
	text := fmt.Sprintf("$ORIGIN %s\n$TTL 1\n@ SOA ns hostmaster %d 3600 600 86400 1\n@ NS ns\nns A 192.0.2.1\n%s\n",
		d.zone, d.serial, strings.Join(records, "\n"))
	return os.WriteFile(d.file, []byte(text), 0o600)
}
