package dnsverify

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/terrane/terrane/dnsverify/zone"
	"github.com/terrane/terrane/tenant"
)

// realZone has a host for each kind of record. $ORIGIN differs, the rest is the
// same at every server.
const realZone = `$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 5
@ NS ns
ns A 127.0.0.1
@ A 192.0.2.10
_terrane TXT "kbp=/git/apex"
plain A 192.0.2.10
plain AAAA 2001:db8::10
_keybase_pages.plain TXT "v=spf1 -all"
_keybase_pages.plain TXT "kbp=/git/alice"
split A 192.0.2.10
_terrane.split TXT "terrane=" "/git/" "alice"
big A 192.0.2.10
_terrane.big TXT "kbp=/git/alice"
_terrane.big TXT %[1]s
alias CNAME target
target A 192.0.2.10
_terrane.alias CNAME _naming
_naming TXT "kbp=/git/alice"
far CNAME c1
c1 CNAME c2
c2 CNAME target
_terrane.far TXT "kbp=/git/alice"
loop CNAME loop2
loop2 CNAME loop
_terrane.loop TXT "kbp=/git/alice"
dangling CNAME nowhere
_terrane.dangling TXT "kbp=/git/alice"
foreign A 192.0.2.10
foreign AAAA 2001:db8::666
_terrane.foreign TXT "kbp=/git/alice"
two A 192.0.2.10
_terrane.two TXT "kbp=/git/alice"
_keybase_pages.two TXT "kbp=/git/bob"
bare A 192.0.2.10
utf8 A 192.0.2.10
_terrane.utf8 TXT "kbp=/git/\195\165lice"
*.wild A 192.0.2.10
_terrane.named.wild TXT "kbp=/git/alice"
*.all A 192.0.2.10
*.all TXT "kbp=/git/alice"
`

// realCases are what the zone must lead to at every server, by the host's label.
func realCases() []realCase {
	verified, denied := tenant.Verified, tenant.Denied
	return []realCase{
		{"", verified, "/git/apex", ""},
		{"plain", verified, alice, ""},
		{"split", verified, alice, ""},
		{"big", verified, alice, ""}, // TC, then TCP
		{"alias", verified, alice, ""},
		{"far", verified, alice, ""},
		{"loop", denied, "", "loop"},
		{"dangling", denied, "", "no A or AAAA"},
		{"foreign", denied, "", "2001:db8::666"},
		{"two", denied, "", "2 folders"},
		{"bare", denied, "", "no TXT record"},
		{"utf8", verified, "/git/ålice", ""},
		{"none", denied, "", "no A or AAAA record"},
		{"x.wild", denied, "", "no TXT record"},
		// RFC 4592: the name of the TXT makes its parent exist, without an address.
		{"named.wild", denied, "", "no A or AAAA record"},
		{"any.all", verified, alice, ""},
	}
}

type realCase struct {
	label  string
	want   tenant.Standing
	tenant tenant.ID
	reason string
}

func TestRealServers(t *testing.T) {
	dir := t.TempDir()
	zoneFile := filepath.Join(dir, "zone")
	var big strings.Builder
	for range 20 {
		fmt.Fprintf(&big, "%q ", strings.Repeat("x", 200))
	}
	write(t, zoneFile, fmt.Sprintf(realZone, big.String()))

	knot := startKnot(t, zoneFile)
	t.Run("knot", func(t *testing.T) { runReal(t, "signed.example", knot.addr, nil) })
	t.Run("bind", func(t *testing.T) { runReal(t, "plain.example", startBind(t, zoneFile), nil) })
	unbound := startUnbound(t, knot)
	t.Run("unbound", func(t *testing.T) { runReal(t, "plain.example", unbound, nil) })
	// What operators are told to set counts, and not the zone's own opinion.
	v := newVerifier(t, func(o *Options) { o.Timeout = 10 * time.Second }, unbound)
	if a := v.client.lookup(t.Context(), "absent.plain.example.", dns.TypeTXT); !a.none() || a.ttl > 2*time.Second {
		t.Errorf("absence holds for %s (%v)", a.ttl, a.err)
	}
	t.Run("unbound, signed", func(t *testing.T) {
		runReal(t, "signed.example", unbound, func(o *Options) { o.RequireAD = true })
	})

	// What a validating resolver makes of a zone decides.
	for _, tt := range []struct {
		zone   string
		want   tenant.Standing
		reason string
	}{
		{"plain.example", tenant.Denied, "DNSSEC"},
		{"bogus.example", tenant.Unknown, "SERVFAIL (DNS"}, // the extended error says why (RFC 8914)
	} {
		h := tenant.Host("plain." + tt.zone)
		v := newVerifier(t, func(o *Options) { o.RequireAD, o.Timeout = true, 10*time.Second }, unbound)
		check(t, v.Verify(t.Context(), h), tt.want, "", tt.reason)
	}
}

func runReal(t *testing.T, zone string, server netip.AddrPort, change func(*Options)) {
	v := newVerifier(t, func(o *Options) {
		o.Timeout, o.HedgeAfter = 10*time.Second, time.Second
		if change != nil {
			change(o)
		}
	}, server)
	for _, tt := range realCases() {
		t.Run(tt.label, func(t *testing.T) {
			h := tenant.Host(strings.TrimPrefix(tt.label+"."+zone, "."))
			// A resolver may follow a loop itself and fail, which is no answer.
			got := v.Verify(t.Context(), h)
			if tt.label == "loop" && got.Standing == tenant.Unknown && strings.Contains(got.Reason, "SERVFAIL") {
				return
			}
			check(t, got, tt.want, tt.tenant, tt.reason)
		})
	}
}

type knotServer struct {
	addr   netip.AddrPort
	anchor string // DS record of signed.example
}

// startKnot serves plain.example unsigned, and signed.example and bogus.example signed.
func startKnot(t *testing.T, zoneFile string) knotServer {
	t.Helper()
	need(t, "knotd", "keymgr")
	dir, addr := t.TempDir(), freePort(t)
	conf := filepath.Join(dir, "knot.conf")
	write(t, conf, fmt.Sprintf(`server:
    rundir: "%[1]s"
    listen: "%[2]s@%[3]d"
database:
    storage: "%[1]s"
log:
  - target: stderr
    any: warning
policy:
  - id: fast
    algorithm: ecdsap256sha256
    ksk-lifetime: 0
template:
  - id: default
    storage: "%[1]s"
    file: "%[4]s"
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
zone:
  - domain: plain.example
  - domain: signed.example
    dnssec-signing: on
    dnssec-policy: fast
  - domain: bogus.example
    dnssec-signing: on
    dnssec-policy: fast
`, dir, addr.Addr(), addr.Port(), zoneFile))
	serve(t, addr, "bogus.example.", "knotd", "-c", conf)
	out, err := exec.Command("keymgr", "-c", conf, "signed.example", "ds").Output()
	if err != nil {
		t.Fatalf("keymgr: %v", err)
	}
	ds, _, _ := strings.Cut(string(out), "\n")
	return knotServer{addr, ds}
}

// startBind serves plain.example.
func startBind(t *testing.T, zoneFile string) netip.AddrPort {
	t.Helper()
	need(t, "named")
	dir, addr := t.TempDir(), freePort(t)
	conf := filepath.Join(dir, "named.conf")
	write(t, conf, fmt.Sprintf(`options {
  directory "%[1]s"; pid-file "%[1]s/pid"; session-keyfile "%[1]s/key"; managed-keys-directory "%[1]s";
  listen-on port %[3]d { %[2]s; }; listen-on-v6 { none; };
  recursion no; dnssec-validation no; notify no;
};
controls { };
zone "plain.example" { type primary; file "%[4]s"; };
`, dir, addr.Addr(), addr.Port(), zoneFile))
	serve(t, addr, "plain.example.", "named", "-g", "-c", conf)
	return addr
}

// startUnbound resolves the zones of a Knot server, and trusts a wrong key for bogus.example.
func startUnbound(t *testing.T, knot knotServer) netip.AddrPort {
	t.Helper()
	need(t, "unbound")
	dir, addr := t.TempDir(), freePort(t)
	conf := filepath.Join(dir, "unbound.conf")
	wrong := strings.Replace(knot.anchor, "signed.example.", "bogus.example.", 1)
	var stubs strings.Builder
	for _, zone := range []string{"plain", "signed", "bogus"} {
		fmt.Fprintf(&stubs, "stub-zone:\n  name: %s.example\n  stub-addr: %s@%d\n", zone, knot.addr.Addr(), knot.addr.Port())
	}
	write(t, conf, fmt.Sprintf(`server:
  directory: "%[1]s"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  do-daemonize: no
  interface: %[2]s
  port: %[3]d
  do-ip6: no
  do-not-query-localhost: no
  module-config: "validator iterator"
  ede: yes
  cache-max-negative-ttl: 2
  trust-anchor: "%[4]s"
  trust-anchor: "%[5]s"
remote-control:
  control-enable: no
%[6]s`, dir, addr.Addr(), addr.Port(), knot.anchor, wrong, stubs.String()))
	serve(t, addr, "plain.example.", "unbound", "-d", "-c", conf)
	return addr
}

func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed (apt-get install knot bind9 unbound)", p)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// freePort is one that was free a moment ago, below those that clients get.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	for range 100 {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(20_000+rand.N(12_000)))
		s, err := zone.New(zone.Options{Addr: addr.String()})
		if err != nil {
			continue
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return addr
	}
	t.Fatal("no free port")
	return netip.AddrPort{}
}

// serve runs a server until the test ends, and returns once it answers for the zone.
func serve(t *testing.T, addr netip.AddrPort, zone, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-read
		_ = cmd.Wait() // ended by our signal
		if t.Failed() {
			t.Logf("%s: %s", program, log.String())
		}
	})
	r := &resolver{addr: addr}
	deadline, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		try, end := context.WithTimeout(deadline, time.Second)
		_, err := r.ask(try, question(zone, dns.TypeSOA))
		end()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.Done():
			t.Fatalf("%s does not answer at %s: %v", program, addr, err)
		}
	}
}
