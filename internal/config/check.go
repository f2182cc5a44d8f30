package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/terrane/terrane/tenant"
)

// check reports what is wrong beyond the types of values.
func (c *Config) check() {
	c.checkStores()
	if len(c.Fetch.Resolvers) == 0 {
		c.Fault("fetch.resolvers", "want at least one resolver, such as \"127.0.0.1:53\"")
	}
	c.checkPreview()
	c.listeners("http.listen", c.HTTP.Listen)
	c.listeners("https.listen", c.HTTPS.Listen)
	if len(c.HTTPS.Listen) == 0 {
		c.Fault("https.listen", "want at least one address, such as \":443\"")
	}
	c.checkTLS()
	c.checkStorage()
	c.checkState()
	for key, n := range map[string]int{
		"limits.concurrency": c.Limits.Concurrency, "limits.subrequests": c.Limits.Subrequests,
		"limits.requests_per_second": c.Limits.RequestsPerSecond,
		"limits.connections":         c.Limits.Connections, "limits.connections_per_network": c.Limits.ConnectionsPerNetwork,
	} {
		if n < 0 {
			c.Fault(key, "%d: want 0 or more", n)
		}
	}
	if least := 3 * (c.Limits.RequestBody + c.Limits.ResponseBody); c.Limits.Bodies > 0 && c.Limits.Bodies < least {
		c.Fault("limits.bodies", "%d bytes: want at least three times request_body and response_body together, which is %d: one visitor gets a third of it", int64(c.Limits.Bodies), int64(least))
	}
	if all, each := c.Limits.Connections, c.Limits.ConnectionsPerNetwork; all > 0 && each > all {
		c.Fault("limits.connections_per_network", "%d: want at most limits.connections, which is %d", each, all)
	}
}

func (c *Config) checkStores() {
	for i := range c.Stores {
		s := &c.Stores[i]
		key := fmt.Sprintf("store[%d]", i)
		if s.Kind == "" {
			c.Fault(key+".kind", "want %q, %q or %q", tenant.FolderStore, tenant.GitStore, tenant.GitTenantStore)
		}
		if s.Kind == tenant.GitTenantStore && s.URL != "" && !s.Serve {
			c.Fault(key+".url", "a git-tenant store has none: the TXT record names the repository, below prefix")
		}
		c.checkServed(key, s)
	}
	c.checkGit()
}

func (c *Config) checkServed(key string, s *Store) {
	perTenant := s.Kind == tenant.GitTenantStore
	if !s.Serve {
		if s.Pushers != "" || s.MaxPush != 0 || s.AllowRewrites {
			c.Fault(key+".serve", "pushers, max_push and allow_rewrites are for stores whose repository this edge keeps: set serve = true")
		}
		return
	}
	if s.Kind != tenant.GitStore && !perTenant {
		c.Fault(key+".serve", "this edge keeps repositories of the kinds \"git\" and \"git-tenant\" only")
		return
	}
	if perTenant && (c.Git.Host == "" || !strings.HasPrefix(s.Prefix, tenant.AnyHTTPS+string(c.Git.Host)+"/")) {
		c.Fault(key+".prefix", "%q: this edge keeps the repositories (serve = true): want \"https://\", git.host and a path, such as \"https://git.example.net/sites/\"", s.Prefix)
	}
	for name, value := range map[string]string{"token_file": s.TokenFile, "ssh_key": s.SSHKey, "url": s.URL} {
		if value != "" {
			c.Fault(key+"."+name, "this edge keeps the repository itself (serve = true): take %s out", name)
		}
	}
	if s.Pushers == "" {
		c.Fault(key+".pushers", "want the file of those who may push")
	}
}

func (c *Config) checkGit() {
	if !c.Serves() {
		if c.Git != (Git{}) {
			c.Fault("git", "no [[store]] has serve = true")
		}
		return
	}
	if c.Git == (Git{}) {
		i := slices.IndexFunc(c.Stores, func(s Store) bool { return s.Serve })
		c.Fault(fmt.Sprintf("store[%d].serve", i), "it wants [git] with host, ssh_listen or both: where is it to be reached?")
	}
	if c.Git.SSHListen != "" {
		c.checkListen("git.ssh_listen", c.Git.SSHListen)
	}
	if h, err := tenant.ParseHost(string(c.Git.Host)); c.Git.Host != "" && (err != nil || h != c.Git.Host) {
		c.Fault("git.host", "%q: want a name that leads to this edge, such as \"git.example.net\", in small letters and without a port", string(c.Git.Host))
	}
}

func (c *Config) checkPreview() {
	if c.Preview.Domain == "" {
		return
	}
	h, err := tenant.ParseHost(c.Preview.Domain)
	if err != nil || string(h) != c.Preview.Domain {
		c.Fault("preview.domain", "%q: want a domain name in lower case, such as \"preview.example.net\"", c.Preview.Domain)
	}
	if !slices.ContainsFunc(c.Stores, func(s Store) bool { return s.Kind != tenant.FolderStore }) {
		c.Fault("preview.domain", "only git stores have previews: want a [[store]] of kind \"git\" or \"git-tenant\", or no [preview]")
	}
}

func (c *Config) listeners(key string, list []string) {
	for i, addr := range list {
		c.checkListen(fmt.Sprintf("%s[%d]", key, i), addr)
	}
}

func (c *Config) checkListen(key, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err == nil && host != "" {
		_, err = netip.ParseAddr(host)
	}
	if err != nil {
		c.Fault(key, "%q: want an address and a port, such as \":443\" or \"[2001:db8::1]:443\"", addr)
	}
}

func (c *Config) checkTLS() {
	if !slices.Contains([]string{"acme", "internal", "files"}, c.TLS.Mode) {
		c.Fault("tls.mode", "%q is no mode: want \"acme\", \"internal\" (own CA) or \"files\"", c.TLS.Mode)
	}
}

func isName(s string) bool {
	if s == "" || len(s) > 63 {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return true
}
