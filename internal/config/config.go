package config

import (
	"net/netip"
	"slices"

	"github.com/terrane/terrane/internal/tomlfile"
	"github.com/terrane/terrane/tenant"
)

// Config is a configuration. A zero value means the default of the package that it is for.
// Load makes all paths absolute; in the file they are relative to the file's folder.
type Config struct {
	Edge    Edge    `toml:"edge"`
	Stores  []Store `toml:"store"`
	Git     Git     `toml:"git"`
	DNS     DNS     `toml:"dns"`
	Preview Preview `toml:"preview"`
	HTTP    HTTP    `toml:"http"`
	HTTPS   HTTPS   `toml:"https"`
	TLS     TLS     `toml:"tls"`
	Limits  Limits  `toml:"limits"`
	Fetch   Fetch   `toml:"fetch"`
	Engine  Engine  `toml:"engine"`
	BGP     *BGP    `toml:"bgp"` // nil: this edge announces nothing
	Admin   Admin   `toml:"admin"`

	Lattice Lattice `toml:"lattice"`
	State   State   `toml:"state"`

	doc *tomlfile.Doc
	dir string
}

// Edge is who this edge is.
type Edge struct {
	Name   string `toml:"name"`
	Region string `toml:"region"`
	Data   string `toml:"data"` // mirror, compiled modules, state
	// Reread is how many bytes a second of folders on mounted file systems are read again.
	Reread tomlfile.Size `toml:"reread"`
}

// Store is where tenants' folders come from.
type Store struct {
	Kind   tenant.StoreKind  `toml:"kind"`
	Prefix string            `toml:"prefix"` // of the TXT paths that lead here
	Path   string            `toml:"path"`   // folder: where it is
	URL    string            `toml:"url"`    // git: the origin, a URL once it was loaded
	Branch string            `toml:"branch"`
	Depth  int               `toml:"depth"` // how many folders deep a tenant's folder lies
	Poll   tomlfile.Duration `toml:"poll"`

	Username   string `toml:"username"`    // git over https
	TokenFile  string `toml:"token_file"`  // git over https: token or password
	SSHKey     string `toml:"ssh_key"`     // git over ssh: file of a private key
	KnownHosts string `toml:"known_hosts"` // git over ssh
	CA         string `toml:"ca"`          // git over https: PEM file of further roots

	MaxPack        tomlfile.Size `toml:"max_pack"`        // git: the largest repository
	WebhookSecret  Secret        `toml:"webhook_secret"`  // git: of the forge that tells of pushes
	AllowedSigners string        `toml:"allowed_signers"` // git: only commits signed by these go live (ssh-keygen's format)
	SignerKeys     string        `toml:"signer_keys"`     // git: likewise, OpenPGP public keys
	FastForward    bool          `toml:"fast_forward"`    // git: rewritten history is not followed

	Serve         bool          `toml:"serve"`          // git, git-tenant: this edge keeps the repository
	Pushers       string        `toml:"pushers"`        // serve: file of those who may push
	MaxPush       tomlfile.Size `toml:"max_push"`       // serve: the largest push, packed or not
	AllowRewrites bool          `toml:"allow_rewrites"` // serve: pushes may rewrite the branch
}

// Git is where the repositories of stores with serve are reached.
type Git struct {
	Host      tenant.Host `toml:"host"`       // name at the HTTPS listener; empty: not over HTTPS
	SSHListen string      `toml:"ssh_listen"` // empty: not over ssh
}

// DNS is what a tenant's records must say, and who is asked.
type DNS struct {
	Addresses      []netip.Addr      `toml:"addresses"`
	Resolvers      []netip.AddrPort  `toml:"resolvers"`
	Labels         []string          `toml:"labels"`
	Keys           []string          `toml:"keys"`
	MinTTL         tomlfile.Duration `toml:"min_ttl"` // shortest time an answer is kept
	RequireConsent bool              `toml:"require_consent"`
	RequireDNSSEC  bool              `toml:"require_dnssec"`
}

// Preview is where branches "preview/NAME" of git stores are shown.
type Preview struct {
	Domain string `toml:"domain"` // whose wildcard A and AAAA records lead here; empty: nowhere
}

// HTTP is the plain listener.
type HTTP struct {
	Listen []string `toml:"listen"`
}

// HTTPS is the listener that serves tenants.
type HTTPS struct {
	Listen []string          `toml:"listen"`
	Drain  tomlfile.Duration `toml:"drain"` // how long requests in flight may take at shutdown
	HSTS   tomlfile.Duration `toml:"hsts"`  // for how long browsers insist on HTTPS; 0: they are not told
	// ProxyProtocol has the balancers whose connections begin with a PROXY header.
	ProxyProtocol []netip.Prefix `toml:"proxy_protocol"`
}

// TLS is where certificates come from.
type TLS struct {
	Mode    string    `toml:"mode"`    // "acme", "internal" or "files"
	CA      []string  `toml:"ca"`      // acme: directory URLs, tried in order
	Email   string    `toml:"email"`   // acme: where a CA may write to
	Roots   string    `toml:"roots"`   // acme: PEM file of a private CA's roots
	Storage string    `toml:"storage"` // acme: folder that all edges share; default: in the data folder
	Key     Secret    `toml:"key"`     // acme: encrypts what is stored
	EAB     []EAB     `toml:"eab"`     // acme: accounts that a CA wants bound to one of its customers
	Files   []KeyPair `toml:"files"`
	// Tickets is the secret that edges share to resume each other's sessions.
	Tickets Secret `toml:"tickets"`
}

// EAB is an external account binding (RFC 8555 7.3.4).
type EAB struct {
	CA  string `toml:"ca"` // one of TLS.CA
	KID string `toml:"kid"`
	Key Secret `toml:"key"` // base64url, as the CA gives it out
}

// KeyPair is a certificate chain and its key, in PEM.
type KeyPair struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
}

// Limits are the operator's ceilings.
type Limits struct {
	Memory            tomlfile.Size     `toml:"memory"`
	CPU               tomlfile.Duration `toml:"cpu"`
	Wall              tomlfile.Duration `toml:"wall"`
	RequestBody       tomlfile.Size     `toml:"request_body"`
	ResponseBody      tomlfile.Size     `toml:"response_body"`
	Concurrency       int               `toml:"concurrency"`
	RequestsPerSecond int               `toml:"requests_per_second"`
	ModuleSize        tomlfile.Size     `toml:"module_size"`
	SiteSize          tomlfile.Size     `toml:"site_size"`
	Subrequests       int               `toml:"subrequests"`

	Bodies tomlfile.Size `toml:"bodies"` // memory for bodies of requests and answers; 0: package server's default

	Connections           int `toml:"connections"`             // of all listeners; 0: from the limit on open files
	ConnectionsPerNetwork int `toml:"connections_per_network"` // of a client network; 0: a quarter of them
}

// Fetch is what guests may reach.
type Fetch struct {
	AllowPrivate bool             `toml:"allow_private"`
	Allow        []string         `toml:"allow"`
	Deny         []string         `toml:"deny"`      // networks, addresses and hosts
	Resolvers    []netip.AddrPort `toml:"resolvers"` // default: those of DNS
	Roots        string           `toml:"roots"`     // PEM file of further CAs
}

// Engine is what runs modules.
type Engine struct {
	Name string `toml:"name"` // empty: the default of package edge
}

// BGP is the speaker. What its values must be is checked by package bgp.
type BGP struct {
	ASN        uint32         `toml:"asn"`
	RouterID   netip.Addr     `toml:"router_id"`
	Prefixes   []netip.Prefix `toml:"prefixes"`
	ListenPort uint16         `toml:"listen_port"` // 0: connects only
	External   bool           `toml:"external"`    // another speaker of this host announces
	Neighbors  []Neighbor     `toml:"neighbor"`

	ManageAddress   bool              `toml:"manage_address"` // put the addresses on the loopback
	AllowHostRoutes bool              `toml:"allow_host_routes"`
	AllowPrivate    bool              `toml:"allow_private"`
	ShutdownWait    tomlfile.Duration `toml:"shutdown_wait"`
	WithdrawWait    tomlfile.Duration `toml:"withdraw_wait"`
	KeepSessions    bool              `toml:"keep_sessions"` // visitors also come by other routes
	Hold            tomlfile.Duration `toml:"hold"`          // least time away after a loss of readiness
}

// Neighbor is one BGP session.
type Neighbor struct {
	Address         netip.Addr        `toml:"address"`
	Port            uint16            `toml:"port"`
	ASN             uint32            `toml:"asn"`
	Password        Secret            `toml:"password"`
	Multihop        uint8             `toml:"multihop"`
	TTLSecurity     bool              `toml:"ttl_security"`
	LocalAddress    netip.Addr        `toml:"local_address"`
	Passive         bool              `toml:"passive"`
	HoldTime        tomlfile.Duration `toml:"hold_time"`
	Keepalive       tomlfile.Duration `toml:"keepalive"`
	ConnectRetry    tomlfile.Duration `toml:"connect_retry"`
	GracefulRestart tomlfile.Duration `toml:"graceful_restart"`

	GracefulShutdown *bool `toml:"graceful_shutdown"` // nil: true

	NextHops    []netip.Addr `toml:"next_hops"`
	Communities []string     `toml:"communities"`
	MED         *uint32      `toml:"med"`
	Prepend     uint8        `toml:"prepend"`
	LocalPref   *uint32      `toml:"local_pref"`

	BFD           bool              `toml:"bfd"`
	BFDInterval   tomlfile.Duration `toml:"bfd_interval"`
	BFDMultiplier uint8             `toml:"bfd_multiplier"`
}

// Serves reports whether this edge keeps the repository of a store.
func (c *Config) Serves() bool {
	return slices.ContainsFunc(c.Stores, func(s Store) bool { return s.Serve })
}

// Hooks reports whether a store has forges tell it of pushes.
func (c *Config) Hooks() bool {
	return slices.ContainsFunc(c.Stores, func(s Store) bool { return s.WebhookSecret != "" })
}

// Admin is the operator's listener.
type Admin struct {
	Listen string `toml:"listen"`
	Token  Secret `toml:"token"`
}

// Fault records that the value of key is wrong. Err then reports it with its line.
func (c *Config) Fault(key, format string, args ...any) { c.doc.Fault(key, format, args...) }

// Faults records the faults that the options of a package have (package fault), whose keys
// are below prefix, and returns the rest of err.
func (c *Config) Faults(prefix string, err error) (rest error) { return c.doc.Faults(prefix, err) }

// Err joins all faults, nil if there are none.
func (c *Config) Err() error { return c.doc.Err() }
