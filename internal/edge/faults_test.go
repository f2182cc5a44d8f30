package edge

import (
	"encoding"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/tomlfile"
)

// faultsOf are the faults of a file, each with its line and key.
func faultsOf(t *testing.T, file string, text []byte) (list []*tomlfile.Error) {
	t.Helper()
	cfg, err := config.Parse(file, text)
	if cfg == nil {
		t.Fatal(err)
	}
	var collect func(error)
	collect = func(err error) {
		switch e := err.(type) { //nolint:errorlint // joined errors are taken apart below
		case nil:
		case *tomlfile.Error:
			list = append(list, e)
		case interface{ Unwrap() []error }:
			for _, one := range e.Unwrap() {
				collect(one)
			}
		default:
			t.Errorf("no line and key: %v", err)
		}
	}
	collect(Faults(cfg))
	return list
}

// TestFaultsOfValues: a file in which as many values as possible are refused has one fault
// for each, with its line, its key and the right words.
func TestFaultsOfValues(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := map[int][]string{}
			for _, f := range faultsOf(t, file, text) {
				if f.Key == "" || f.File != file {
					t.Errorf("no key or another file: %v", f)
				}
				got[f.Line] = append(got[f.Line], f.Fault.Error())
			}
			line := 0
			for content := range strings.Lines(string(text)) {
				line++
				entry, want, refused := strings.Cut(strings.TrimSpace(content), "# ! ")
				key, _, _ := strings.Cut(entry, " ")
				switch faults := got[line]; {
				case !refused && len(faults) > 0 || refused && len(faults) != 1:
					t.Errorf("%s:%d: %s: faults %q, want %q", file, line, entry, faults, want)
				case refused && (!strings.Contains(faults[0], want) || !strings.ContainsAny(key, `["`) && !strings.Contains(faults[0], "."+key+": ")):
					t.Errorf("%s:%d: %s: fault %q, want %q", file, line, entry, faults[0], want)
				}
			}
		})
	}
}

// TestFaultsOfTypes gives every key a value of a wrong type: each is one fault, and nothing
// that follows from it is another.
func TestFaultsOfTypes(t *testing.T) {
	var file strings.Builder
	keys := map[string]int{}
	line := func(text string) int { file.WriteString(text + "\n"); return strings.Count(file.String(), "\n") }
	var table func(name, header string, ty reflect.Type)
	table = func(name, header string, ty reflect.Type) {
		if name != "" {
			line(header)
		}
		var later []func()
		for i := range ty.NumField() {
			tag, field := ty.Field(i).Tag.Get("toml"), ty.Field(i).Type
			if tag == "" || name == "lattice" && tag == "url" { // url excludes the other keys
				continue
			}
			key := strings.TrimPrefix(name+"."+tag, ".")
			if field.Kind() == reflect.Pointer && field.Elem().Kind() == reflect.Struct {
				field = field.Elem()
			}
			text := reflect.PointerTo(field).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
			switch {
			case field.Kind() == reflect.Struct && !text:
				later = append(later, func() { table(key, "["+key+"]", field) })
			case field.Kind() == reflect.Slice && field.Elem().Kind() == reflect.Struct && !reflect.PointerTo(field.Elem()).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
				later = append(later, func() { table(key+"[0]", "[["+key+"]]", field.Elem()) })
			case field.Kind() == reflect.Slice:
				keys[key+"[0]"] = line(tag + " = [1.5]")
			default:
				keys[key] = line(tag + " = 1.5")
			}
		}
		for _, f := range later {
			f()
		}
	}
	table("", "", reflect.TypeFor[config.Config]())
	if len(keys) < 100 {
		t.Fatalf("only %d keys", len(keys))
	}
	seen := map[string]bool{}
	for _, f := range faultsOf(t, "t.toml", []byte(file.String())) {
		if keys[f.Key] != f.Line || seen[f.Key] || !strings.HasPrefix(f.Err.Error(), "want ") {
			t.Errorf("%v: want one fault in line %d", f, keys[f.Key])
		}
		seen[f.Key] = true
	}
	for key := range keys {
		if !seen[key] {
			t.Errorf("no fault of %s", key)
		}
	}
}

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

// TestFaultsAtOnce: what several packages refuse is reported together.
func TestFaultsAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     []string
	}{
		{"the smallest file", small, nil},
		{"empty", "", []string{
			`t.toml:1: edge.name: "": want letters`,
			"t.toml:1: store: want at least one [[store]]",
			"t.toml:1: dns.addresses: want the addresses",
		}},
		{"three packages", small + "labels = [\"a..b\"]\n[fetch]\nallow = [\"http://x\"]\n[bgp]\nasn = 0\nrouter_id = \"192.0.2.1\"\nprefixes = [\"192.0.2.10/32\"]\nexternal = true\n[[bgp.neighbor]]\naddress = \"192.0.2.2\"\nasn = 64512\n", []string{
			`t.toml:10: dns.labels[0]: "a..b": want a name`,
			`t.toml:12: fetch.allow[0]: pattern "http://x": want`,
			"t.toml:14: bgp.asn: want an AS number",
		}},
		{"no files for tls.mode", small + "[tls]\nmode = \"files\"\n", []string{"t.toml:10: tls.files: want at least one"}},
		{"half a pair", small + "[tls]\nmode = \"files\"\n[[tls.files]]\ncert = \"c\"\n[[tls.files]]\ncert = \"none\"\nkey = \"none\"\n", []string{
			"t.toml:12: tls.files[0]: want both cert and key", "t.toml:14: tls.files[1]: certificate ",
		}},
		{"an unknown mode", small + "[tls]\nmode = \"none\"\n", []string{`t.toml:11: tls.mode: "none" is no mode`}},
		{"redis without a server", small + "[state]\nprovider = \"redis\"\n", []string{"t.toml:10: state.url: want the server"}},
		{"open admin", small + "[admin]\nlisten = \":9180\"\n", []string{"t.toml:10: admin.token: want a token"}},
		{"another NATS", small + "[tls]\nmode = \"internal\"\n[lattice]\nurl = [\"tls://h:4222\"]\nlisten = \"127.0.0.1:4222\"\n", []string{"t.toml:13: lattice.url: uses another NATS"}},
		{"no address to manage", small + "[bgp]\nasn = 65001\nrouter_id = \"192.0.2.1\"\nprefixes = [\"198.51.100.0/24\"]\nmanage_address = true\nexternal = true\n", []string{
			"t.toml:14: bgp.manage_address: none of dns.addresses is in one of the prefixes",
		}},
		{"secrets of a URL stay secret", small + "[[store]]\nkind = \"git\"\nprefix = \"/g/\"\nurl = \"ftp://user:hunter2@h/x\"\n", []string{
			`t.toml:13: store[1].url: "ftp://h/x": want an https`,
		}},
		{"a secret that is not there", small + "[[bgp.neighbor]]\npassword = \"env:TERRANE_TEST_UNSET\"\n[admin]\nlisten = \":9180\"\ntoken = \"env:TERRANE_TEST_UNSET\"\n", []string{
			"t.toml:10: bgp.asn: want", "t.toml:10: bgp.router_id: want", "t.toml:10: bgp.prefixes: want",
			"t.toml:10: bgp.neighbor[0].asn: want", "t.toml:10: bgp.neighbor[0].address: want",
			"t.toml:11: bgp.neighbor[0].password: the environment variable", "t.toml:14: admin.token: the environment variable",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			faults := faultsOf(t, "t.toml", []byte(tt.in))
			ok := len(faults) == len(tt.want)
			for i := range min(len(faults), len(tt.want)) {
				ok = ok && strings.HasPrefix(faults[i].Error(), tt.want[i]) && !strings.Contains(faults[i].Error(), "hunter2")
			}
			if !ok {
				t.Errorf("got\n%v\nwant\n%s", faults, strings.Join(tt.want, "\n"))
			}
		})
	}
}

// TestExamplesHaveNoFaults wants nothing wrong with them but that this machine lacks their files.
func TestExamplesHaveNoFaults(t *testing.T) {
	t.Setenv("TERRANE_TLS_KEY", "a secret of at least 32 characters")
	t.Setenv("TERRANE_BGP_PASSWORD", "secret")
	files, err := filepath.Glob("../../examples/edge/*.toml")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range faultsOf(t, file, text) {
			if !errors.Is(f, fs.ErrNotExist) {
				t.Error(f)
			}
		}
	}
}

// TestDefaultsAreThePackages: what a file does not say is left to the package that documents
// its default.
func TestDefaultsAreThePackages(t *testing.T) {
	c, err := config.Parse("/etc/terrane/t.toml", []byte(small+"[[store]]\nkind = \"git\"\nprefix = \"/git/\"\nurl = \"https://h/x\"\n[[store]]\nkind = \"git-tenant\"\nprefix = \"git@h:\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stores(c) {
		if s.Poll != 0 || s.Depth != 0 {
			t.Errorf("store %s: poll %v, depth %d; want the defaults of package sync", s.Prefix, s.Poll, s.Depth)
		}
	}
	if c.DNS.Labels != nil || c.DNS.Keys != nil || c.TLS.CA != nil || c.Fetch.Allow != nil || c.HTTPS.Drain != 0 {
		t.Errorf("a default of another package: %v %v %v %v %v", c.DNS.Labels, c.DNS.Keys, c.TLS.CA, c.Fetch.Allow, c.HTTPS.Drain)
	}
}
