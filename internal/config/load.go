package config

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/terrane/terrane/internal/tomlfile"
)

// maxFile bounds what is read of a configuration or a secret, in bytes.
const maxFile = 1 << 20

// Load reads, completes and checks the configuration in file. The error joins every fault
// found. With a file that is TOML the Config is not nil, even if there are faults: other
// packages can judge their part of it too, and Config.Err joins what all have found.
func Load(file string) (*Config, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return Parse(file, data)
}

// Parse is Load for a configuration already read; file stands in the faults, and
// relative paths start at its folder.
func Parse(file string, data []byte) (*Config, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("configuration: %s: where does this path start? %w", file, err)
	}
	c := Default()
	c.dir = filepath.Dir(abs)
	c.doc, err = tomlfile.Decode(file, data, c)
	if f, ok := errors.AsType[*tomlfile.Error](err); ok && f.Key == "" {
		return nil, err // not TOML: nothing else can be said of it
	}
	c.complete()
	c.check()
	return c, c.Err()
}

// Default is the configuration that an empty file stands for. It lacks what has no
// default, such as the edge's name and its stores.
func Default() *Config {
	return &Config{
		doc:   &tomlfile.Doc{},
		Edge:  Edge{Data: "/var/lib/terrane"},
		DNS:   DNS{Resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}},
		HTTP:  HTTP{Listen: []string{":80"}},
		HTTPS: HTTPS{Listen: []string{":443"}},
		TLS:   TLS{Mode: "acme"},
		Limits: Limits{
			Memory:       128 << 20,
			CPU:          tomlfile.Duration(time.Second),
			Wall:         tomlfile.Duration(10 * time.Second),
			RequestBody:  10 << 20,
			ResponseBody: 10 << 20,
			Concurrency:  64,
			ModuleSize:   16 << 20,
			SiteSize:     256 << 20,
			Subrequests:  16,
		},
		State: State{Provider: "lattice"},
		Admin: Admin{Listen: "127.0.0.1:9180"},
	}
}

// complete fills in what depends on other values.
func (c *Config) complete() {
	c.relative(&c.Edge.Data)
	c.relative(&c.Fetch.Roots)
	for i := range c.Stores {
		s := &c.Stores[i]
		for _, path := range []*string{&s.Path, &s.TokenFile, &s.SSHKey, &s.KnownHosts, &s.CA, &s.AllowedSigners, &s.SignerKeys, &s.Pushers} {
			c.relative(path)
		}
		c.origin(&s.URL)
		c.secret(fmt.Sprintf("store[%d].webhook_secret", i), &s.WebhookSecret)
	}
	for i := range c.TLS.Files {
		c.relative(&c.TLS.Files[i].Cert)
		c.relative(&c.TLS.Files[i].Key)
	}
	if !c.doc.Has("fetch.resolvers") {
		c.Fetch.Resolvers = c.DNS.Resolvers
	}
	c.secret("admin.token", &c.Admin.Token)
	c.secret("tls.tickets", &c.TLS.Tickets)
	c.secret("tls.key", &c.TLS.Key)
	for i := range c.TLS.EAB {
		c.secret(fmt.Sprintf("tls.eab[%d].key", i), &c.TLS.EAB[i].Key)
	}
	c.Lattice.complete(c)
	c.relative(&c.TLS.Roots)
	c.completeStorage()
	c.secret("state.url", &c.State.URL)
	if c.BGP != nil {
		for i := range c.BGP.Neighbors {
			c.secret(fmt.Sprintf("bgp.neighbor[%d].password", i), &c.BGP.Neighbors[i].Password)
		}
	}
}

// relative makes a path of the file absolute. It starts at the file's folder. What
// uses the path may run elsewhere, as git's hooks do.
func (c *Config) relative(path *string) {
	if *path != "" && !filepath.IsAbs(*path) {
		*path = filepath.Join(c.dir, *path)
	}
}

// origin makes a path to a repository on this machine a URL.
func (c *Config) origin(origin *string) {
	if *origin == "" || strings.Contains(*origin, ":") {
		return
	}
	c.relative(origin)
	*origin = (&url.URL{Scheme: "file", Path: *origin}).String()
}

// readFile is os.ReadFile with a bound.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: larger than %d bytes", name, maxFile)
	}
	return data, err
}
