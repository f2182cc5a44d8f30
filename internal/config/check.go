package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/terrane/terrane/tenant"
)

// check reports what is wrong beyond the types of values.
func (c *Config) check() {
	if !isName(c.Edge.Name) {
		c.Fault("edge.name", "want the edge's name, such as \"ams1\": letters, digits and \"-\", at most 63")
	}
	if c.Edge.Region != "" && !isName(c.Edge.Region) {
		c.Fault("edge.region", "%q: want letters, digits and \"-\", at most 63", c.Edge.Region)
	}
	c.checkStores()
	c.checkDNS()
	c.checkPreview()
	c.listeners("http.listen", c.HTTP.Listen)
	c.listeners("https.listen", c.HTTPS.Listen)
	if len(c.HTTPS.Listen) == 0 {
		c.Fault("https.listen", "want at least one address, such as \":443\"")
	}
	c.checkTLS()
	c.checkStorage()
	c.checkState()
	if name := c.Engine.Name; !slices.Contains(Engines(), name) {
		mend := ""
		if name == "wasmer" {
			mend = "; \"make build-wasmer\" makes one with \"wasmer\""
		}
		c.Fault("engine.name", "%q is no engine of this build: it has %q%s", name, Engines(), mend)
	}
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
	c.checkAdmin()
}

func (c *Config) checkStores() {
	if len(c.Stores) == 0 {
		c.Fault("store", "want at least one [[store]]: where tenants' folders come from")
	}
	for i := range c.Stores {
		s := &c.Stores[i]
		key := fmt.Sprintf("store[%d]", i)
		switch s.Kind {
		case "folder":
			if s.Path == "" {
				c.Fault(key+".path", "want the folder that holds the tenants' folders")
			}
		case "git":
			if !s.Serve {
				c.checkOrigin(key+".url", s.URL)
			}
		case "git-tenant":
			if s.URL != "" {
				c.Fault(key+".url", "a git-tenant store has none: the TXT record names the repository, below prefix")
			}
		default:
			c.Fault(key+".kind", "%q is no kind of store: want \"folder\", \"git\" or \"git-tenant\"", s.Kind)
		}
		if s.Depth < 1 || s.Depth > 8 {
			c.Fault(key+".depth", "%d: want 1 to 8", s.Depth)
		}
		c.checkPrefix(key, s, c.Stores[:i])
		c.checkServed(key, s)
	}
	c.checkGit()
}

func (c *Config) checkServed(key string, s *Store) {
	switch {
	case !s.Serve && (s.Pushers != "" || s.MaxPush != 0 || s.AllowRewrites):
		c.Fault(key+".serve", "pushers, max_push and allow_rewrites are for stores whose repository this edge keeps: set serve = true")
	case !s.Serve:
	case s.Kind != "git" && s.Kind != "git-tenant":
		c.Fault(key+".serve", "this edge keeps repositories of the kinds \"git\" and \"git-tenant\" only")
	case s.Kind == "git-tenant" && (c.Git.Host == "" || !strings.HasPrefix(s.Prefix, tenant.AnyHTTPS+string(c.Git.Host)+"/")):
		c.Fault(key+".prefix", "%q: this edge keeps the repositories (serve = true): want \"https://\", git.host and a path, such as \"https://git.example.net/sites/\"", s.Prefix)
	case s.Kind == "git-tenant" && (s.TokenFile != "" || s.SSHKey != ""):
		c.Fault(key+".serve", "this edge keeps the repositories: take token_file and ssh_key out")
	case s.URL != "":
		c.Fault(key+".url", "this edge keeps the repository itself (serve = true): take url out")
	case s.Pushers == "":
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

func (c *Config) checkPrefix(key string, s *Store, before []Store) {
	err := tenant.CheckPrefix(s.Prefix, s.Kind == "git-tenant")
	switch {
	case err != nil && s.Kind == "git-tenant":
		c.Fault(key+".prefix", "%q: want the start of the repositories that may be named, such as \"git@git.example.net:\" or \"https://git.example.net/tenants/\"", s.Prefix)
		return
	case err != nil:
		c.Fault(key+".prefix", "%q: want the start of the TXT paths that lead here, such as \"/git/\"", s.Prefix)
		return
	case s.Prefix == tenant.AnyHTTPS && s.TokenFile != "":
		c.Fault(key+".token_file", "it would be sent to any host that a TXT record names: want a prefix with the host that it is for, such as \"https://git.example.net/\"")
	}
	for j := range before {
		if p := before[j].Prefix; p != "" && (strings.HasPrefix(p, s.Prefix) || strings.HasPrefix(s.Prefix, p)) {
			c.Fault(key+".prefix", "%q overlaps the prefix %q of store[%d]: a path must lead to one store", s.Prefix, p, j)
		}
	}
}

func (c *Config) checkOrigin(key, origin string) {
	if origin == "" {
		c.Fault(key, "want the repository's URL, such as \"https://git.example.net/tenants.git\"")
		return
	}
	if host, path, ok := strings.Cut(origin, ":"); ok && !strings.Contains(origin, "://") && strings.Contains(host, "@") && path != "" {
		return // git@host:path
	}
	u, err := url.Parse(origin)
	isFile := err == nil && u.Scheme == "file"
	if err != nil || !slices.Contains([]string{"https", "http", "ssh", "file"}, u.Scheme) || !strings.Contains(origin, "://") ||
		u.Path == "" || isFile != (u.Host == "") {
		c.Fault(key, "%q: want an https, http, ssh or file URL (file:///PATH), git@host:path, or a path", redact(origin))
	}
}

// redact cuts the user and password of a URL that may not parse.
func redact(origin string) string {
	scheme, rest, ok := strings.Cut(origin, "://")
	if !ok {
		return origin
	}
	return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
}

func (c *Config) checkDNS() {
	if len(c.DNS.Addresses) == 0 {
		c.Fault("dns.addresses", "want the addresses that a tenant's A and AAAA records must have")
	}
	for i, a := range c.DNS.Addresses {
		if a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			c.Fault(fmt.Sprintf("dns.addresses[%d]", i), "%s cannot stand in an A or AAAA record", a)
		}
	}
	for key, list := range map[string][]netip.AddrPort{"dns.resolvers": c.DNS.Resolvers, "fetch.resolvers": c.Fetch.Resolvers} {
		if len(list) == 0 {
			c.Fault(key, "want at least one resolver, such as \"127.0.0.1:53\"")
		}
	}
	for key, list := range map[string][]string{"dns.labels": c.DNS.Labels, "dns.keys": c.DNS.Keys} {
		if len(list) == 0 || slices.ContainsFunc(list, func(s string) bool { return !isName(strings.Trim(s, "_")) }) {
			c.Fault(key, "want names of letters, digits, \"-\" and \"_\"")
		}
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
	if !slices.ContainsFunc(c.Stores, func(s Store) bool { return s.Kind != "folder" }) {
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

// minKey is the least length of secrets that keys are made from.
const minKey = 32

func (c *Config) checkACME() {
	if len(c.TLS.CA) == 0 {
		c.Fault("tls.ca", "mode \"acme\" wants the directory URL of at least one authority")
	}
	for i, ca := range c.TLS.CA {
		if u, err := url.Parse(ca); err != nil || u.Scheme != "https" || u.Host == "" {
			c.Fault(fmt.Sprintf("tls.ca[%d]", i), "%q: want an https URL", ca)
		}
	}
	for i, e := range c.TLS.EAB {
		key := fmt.Sprintf("tls.eab[%d]", i)
		if !slices.Contains(c.TLS.CA, e.CA) || slices.ContainsFunc(c.TLS.EAB[:i], func(f EAB) bool { return f.CA == e.CA }) {
			c.Fault(key+".ca", "%q: want one of tls.ca, once", e.CA)
		}
		if e.KID == "" {
			c.Fault(key+".kid", "want the key identifier that the authority gave you")
		}
		if k, err := base64.RawURLEncoding.DecodeString(string(e.Key)); err != nil || len(k) == 0 {
			c.Fault(key+".key", "want the key that the authority gave you, in base64url without padding")
		}
	}
}

func (c *Config) checkTLS() {
	switch c.TLS.Mode {
	case "acme":
		c.checkACME()
	case "internal":
	case "files":
		if len(c.TLS.Files) == 0 {
			c.Fault("tls.files", "mode \"files\" wants at least one [[tls.files]] with cert and key")
		}
	default:
		c.Fault("tls.mode", "%q is no mode: want \"acme\", \"internal\" (own CA) or \"files\"", c.TLS.Mode)
	}
	for key, secret := range map[string]Secret{"tls.tickets": c.TLS.Tickets, "tls.key": c.TLS.Key} {
		if n := len(secret); n > 0 && n < minKey {
			c.Fault(key, "the secret has %d characters: want at least %d of them", n, minKey)
		}
	}
	for i, f := range c.TLS.Files {
		if f.Cert == "" || f.Key == "" {
			c.Fault(fmt.Sprintf("tls.files[%d]", i), "want both cert and key")
		}
	}
}

func (c *Config) checkAdmin() {
	if c.Admin.Listen == "" {
		return
	}
	c.checkListen("admin.listen", c.Admin.Listen)
	host, _, _ := net.SplitHostPort(c.Admin.Listen)
	if a, err := netip.ParseAddr(host); (err != nil || !a.IsLoopback()) && c.Admin.Token == "" {
		c.Fault("admin.token", "want a token (\"file:PATH\" or \"env:NAME\"): admin.listen = %q is not on loopback", c.Admin.Listen)
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
