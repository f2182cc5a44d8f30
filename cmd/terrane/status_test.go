package main

import (
	"bytes"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
)

// terrane runs the command line in this process.
func terrane(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestStatusAndLogs(t *testing.T) {
	e := edgetest.Start(t, nil)
	admin := "--admin=http://" + e.Admin.Addr().String()
	e.Domain("bob.example", "terrane=/sites/bob/")
	e.Deploy("bob", map[string][]byte{"trap.wasm": edgetest.File(t, "server/testdata/trap.wasm")})
	e.Want("bob.example", "/trap", 500, "")
	e.Deploy("bob", map[string][]byte{"index.wasm": []byte("broken")})

	out, err := terrane(t, "status", admin)
	for _, want := range []string{"edge ", "store ", "/sites/", "reachable", "tenant ", "/sites/bob", "refused", "index.wasm: "} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("status: %v, nothing of %q in\n%s", err, want, out)
		}
	}
	out, err = terrane(t, "logs", "/sites/bob", admin)
	if err != nil || !strings.Contains(out, "trap.wasm") || !strings.Contains(out, "unreachable") {
		t.Errorf("logs: %v\n%s", err, out)
	}
	if out, err := terrane(t, "logs", "/sites/nobody", admin); err != nil || out != "" {
		t.Errorf("logs of nobody: %v\n%s", err, out)
	}
	if _, err := terrane(t, "logs", "nobody", admin); err == nil {
		t.Error("a path that is none was taken")
	}
	if _, err := terrane(t, "status", "--admin=http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "no edge answers") {
		t.Errorf("status of no edge: %v", err)
	}
}

func TestDrain(t *testing.T) {
	e := edgetest.Start(t, func(c *config.Config) {
		c.BGP = &config.BGP{
			ASN: 65001, RouterID: netip.MustParseAddr("198.51.100.7"), Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")},
			// Nobody answers there, which changes nothing for a drain.
			Neighbors: []config.Neighbor{{
				Address: netip.MustParseAddr("127.0.0.2"), LocalAddress: netip.MustParseAddr("127.0.0.1"), Port: 1, ASN: 64512, BFD: true,
			}},
		}
	})
	admin := "--admin=http://" + e.Admin.Addr().String()
	state := func(want string) func() bool {
		return func() bool { out, err := terrane(t, "status", admin); return err == nil && strings.Contains(out, want) }
	}
	e.Await("an announcement", state("announcing"))
	e.Await("the reason for no session", state("connection refused"))
	down := regexp.MustCompile(`bfd +127\.0\.0\.2 +down`)
	e.Await("the state of BFD", func() bool { out, err := terrane(t, "status", admin); return err == nil && down.MatchString(out) })
	if _, err := terrane(t, "drain", admin); err != nil {
		t.Fatal(err)
	}
	e.Await("the drain", state("drained"))
	if _, err := terrane(t, "undrain", admin); err != nil {
		t.Fatal(err)
	}
	e.Await("another announcement", state("announcing"))

	quiet := edgetest.Start(t, nil)
	if _, err := terrane(t, "drain", "--admin=http://"+quiet.Admin.Addr().String()); err == nil {
		t.Error("an edge without BGP was drained")
	}
}
