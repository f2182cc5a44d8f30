package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const small = `
[edge]
name = "ams1"
[[store]]
kind = "folder"
prefix = "/keybase/"
path = "tenants"
[dns]
addresses = ["192.0.2.10"]
`

func TestSmallestFileHasSafeDefaults(t *testing.T) {
	c, err := Parse("/etc/terrane/terrane.toml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Stores[0]; got.Path != "/etc/terrane/tenants" || got.Depth != 0 || got.Poll != 0 { // the defaults are those of package sync
		t.Errorf("store = %+v", got)
	}
	if c.BGP != nil {
		t.Error("an edge announces something that nobody configured")
	}
	if c.Fetch.AllowPrivate || c.Fetch.Resolvers[0] != c.DNS.Resolvers[0] {
		t.Errorf("fetch = %+v", c.Fetch)
	}
	if c.Limits.Memory != 128<<20 || time.Duration(c.Limits.Wall) != 10*time.Second {
		t.Errorf("limits = %+v", c.Limits)
	}
}

func TestOrigins(t *testing.T) {
	for in, want := range map[string]string{
		"tenants.git":                "file:///etc/terrane/tenants.git",
		"/srv/tenants.git":           "file:///srv/tenants.git",
		"/srv/100% of it?/a b#c.git": "file:///srv/100%25%20of%20it%3F/a%20b%23c.git",
		"git@git.example.net:a/b":    "git@git.example.net:a/b",
		"https://git.example.net/ab": "https://git.example.net/ab",
	} {
		text := small + "[[store]]\nkind = \"git\"\nprefix = \"/git/\"\nurl = \"" + in + "\"\n"
		c, err := Parse("/etc/terrane/terrane.toml", []byte(text))
		if err != nil || c.Stores[1].URL != want {
			t.Errorf("url %q became %+v, %v; want %q", in, c, err, want)
		}
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"unknown keys", small + "adresses = []\n[htp]\n", []string{
			`t.toml:10: dns.adresses: unknown key; known here are addresses,`,
			`t.toml:11: htp: unknown key`,
		}},
		{"not TOML", "[edge\n", []string{"t.toml:1: "}},
		{"bad BGP prefix", small + "[bgp]\nprefixes = [\"192.0.2.0/33\"]\n", []string{"t.toml:11: bgp.prefixes[0]: "}},
		{"served stores", small + "[[store]]\nkind = \"git\"\nprefix = \"/git/\"\nurl = \"https://h/x\"\nserve = true\n", []string{
			`t.toml:10: store[1].pushers: want the file of those who may push`,
			`t.toml:13: store[1].url: this edge keeps the repository itself`,
			`t.toml:14: store[1].serve: it wants [git] with host, ssh_listen or both`,
		}},
		{"a served store without pushers", small + "[[store]]\nkind = \"git\"\nprefix = \"/git/\"\nserve = true\n[git]\nhost = \"Git.example.net\"\nssh_listen = \"22\"\n", []string{
			`t.toml:10: store[1].pushers: want the file of those who may push`,
			`t.toml:15: git.host: "Git.example.net": want a name that leads to this edge`,
			`t.toml:16: git.ssh_listen: "22": want an address and a port`,
		}},
		{"nothing is served", small + "[git]\nhost = \"git.example.net\"\n[[store]]\nkind = \"git-tenant\"\nprefix = \"git@h:\"\nserve = true\n", []string{
			`t.toml:12: store[1].pushers: want the file of those who may push`,
			`t.toml:14: store[1].prefix: "git@h:": this edge keeps the repositories`,
		}},
		{"folders are not served", small + "[git]\nhost = \"git.example.net\"\n[[store]]\nkind = \"folder\"\npath = \"x\"\nprefix = \"/x/\"\nserve = true\n", []string{
			`t.toml:16: store[1].serve: this edge keeps repositories of the kinds "git" and "git-tenant" only`,
		}},
		{"another's host", small + "[git]\nhost = \"git.example.net\"\n[[store]]\nkind = \"git-tenant\"\nprefix = \"https://git.example.net.evil.example/x/\"\nserve = true\npushers = \"p\"\n", []string{
			`t.toml:14: store[1].prefix: "https://git.example.net.evil.example/x/": this edge keeps the repositories`,
		}},
		{"git for nothing", small + "[git]\nhost = \"git.example.net\"\n", []string{`t.toml:10: git: no [[store]] has serve = true`}},
		{"bad store", small + "[[store]]\nkind = \"ftp\"\nprefix = \"../\"\n", []string{
			`t.toml:11: store[1].kind: "ftp" is no kind of store`,
		}},
		{"previews of folders", small + "[preview]\ndomain = \"Preview.example.net\"\n", []string{
			`t.toml:11: preview.domain: "Preview.example.net": want a domain name in lower case`,
			`t.toml:11: preview.domain: only git stores have previews`,
		}},
		{"tenants' own repositories", small + "[[store]]\nkind = \"git-tenant\"\nprefix = \"/git/\"\nurl = \"https://h/x\"\n", []string{
			`t.toml:13: store[1].url: a git-tenant store has none`,
		}},
		{"state", small + "[state]\nprovider = \"disk\"\nhome = \"a b\"\nkeys = -1\n", []string{
			`t.toml:11: state.provider: "disk" is no provider: want "lattice", "redis" or "memory"`,
			`t.toml:12: state.home: is for provider = "lattice" alone`,
			`t.toml:13: state.keys: -1: want 1 or more`,
		}},
		{"a home with a blank", small + "[state]\nhome = \"a b\"\n", []string{`t.toml:11: state.home: "a b": want the edge.region`}},
		{"a server for the lattice", small + "[state]\nurl = \"redis://h\"\n", []string{"t.toml:11: state.url: is for provider"}},
		{"an absence that a restart takes", small + "[lattice]\nforget_after = \"10s\"\n", []string{`t.toml:11: lattice.forget_after: "10s" is too short: want 1m0s or more`}},
		{"a leaf without a home", small + "[lattice]\nleaf = [\"tls://hub:7422\"]\n[tls]\nmode = \"internal\"\n", []string{"t.toml:1: state.home: want the region"}},
		{"certificates in the lattice", small + "[lattice.cluster]\nlisten = \"10.0.0.1:6222\"\n", []string{"t.toml:1: tls.key: want a secret of 32"}},
		{"listeners", small + "[https]\nlisten = [\"443\", \"host:443\", \":70000\"]\n", []string{
			`t.toml:11: https.listen[0]: "443": want an address and a port`,
			`t.toml:11: https.listen[1]: "host:443"`,
			`t.toml:11: https.listen[2]: ":70000"`,
		}},
		{"connections", small + "[limits]\nconnections = 100\nconnections_per_network = 200\n", []string{
			"t.toml:12: limits.connections_per_network: 200: want at most limits.connections, which is 100",
		}},
		{"bodies", small + "[limits]\nbodies = \"32MiB\"\n", []string{
			"t.toml:11: limits.bodies: 33554432 bytes: want at least three times request_body and response_body together, which is 62914560",
		}},
		{"negative connections", small + "[limits]\nconnections = -1\nconnections_per_network = -2\n", []string{
			"t.toml:11: limits.connections: -1: want 0 or more", "t.toml:12: limits.connections_per_network: -2: want 0 or more",
		}},
		{"missing secret", small + "[admin]\ntoken = \"file:none\"\n", []string{"t.toml:11: admin.token: open "}},
		{"unset secret", small + "[admin]\ntoken = \"env:TERRANE_TEST_UNSET\"\n", []string{"t.toml:11: admin.token: the environment variable TERRANE_TEST_UNSET is not set"}},
		{"TLS and sizes", small + "[tls]\nmode = \"none\"\n[limits]\nmemory = \"lots\"\ncpu = \"0s\"\nconcurrency = -1\n", []string{
			`t.toml:11: tls.mode: "none" is no mode`,
			`t.toml:13: limits.memory: "lots" is no size`,
			`t.toml:14: limits.cpu: "0s" is no duration`,
			`t.toml:15: limits.concurrency: -1: want 0 or more`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("t.toml", []byte(tt.in))
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.Split(err.Error(), "\n")
			if len(got) != len(tt.want) {
				t.Fatalf("got\n%v\nwant\n%s", err, strings.Join(tt.want, "\n"))
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("fault %d = %s\nwant it to start with %s", i, got[i], want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the error shows a password")
			}
		})
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("\ufefffrom file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TERRANE_TEST_PASSWORD", "from env")
	file := filepath.Join(dir, "terrane.toml")
	text := "\ufeff" + small + `
[admin]
token = "file:token"
[bgp]
asn = 65001
[[bgp.neighbor]]
password = "env:TERRANE_TEST_PASSWORD"
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Admin.Token != "from file" || c.BGP.Neighbors[0].Password != "from env" {
		t.Errorf("token %q, password %q", string(c.Admin.Token), string(c.BGP.Neighbors[0].Password))
	}
	if got := c.Admin.Token.String(); strings.Contains(got, "from") {
		t.Errorf("a secret prints as %s", got)
	}
}

func TestLoadRefusesHugeFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "terrane.toml")
	if err := os.WriteFile(file, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("err = %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(small)
	f.Add(small + "[bgp]\n[[bgp.neighbor]]\naddress = \"::1\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "file:") || strings.Contains(text, "env:") {
			t.Skip("reads nothing of this machine")
		}
		_, _ = Parse("f.toml", []byte(text))
	})
}
