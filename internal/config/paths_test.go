package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/tomlfile"
)

// pathKeys are the keys whose values are paths, or URLs that can be one.
var pathKeys = []string{
	"edge.data", "fetch.roots", "lattice.credentials", "lattice.tls.ca", "lattice.tls.cert", "lattice.tls.key",
	"store.allowed_signers", "store.ca", "store.known_hosts", "store.path", "store.pushers", "store.signer_keys", "store.ssh_key",
	"store.token_file", "store.url", "tls.files.cert", "tls.files.key", "tls.roots", "tls.storage",
}

// otherKeys are all other keys whose values are text.
var otherKeys = []string{
	"admin.listen", "bgp.neighbor.communities", "dns.keys", "dns.labels", "edge.name", "edge.region", "engine.name", "fetch.allow", "fetch.deny",
	"git.host", "git.ssh_listen", "http.listen", "https.listen", "lattice.cluster.advertise", "lattice.cluster.listen",
	"lattice.cluster.name", "lattice.cluster.routes", "lattice.leaf", "lattice.leaf_listen", "lattice.listen", "lattice.peers", "lattice.url",
	"preview.domain", "state.home", "state.provider", "store.branch", "store.kind", "store.prefix", "store.username",
	"tls.ca", "tls.eab.ca", "tls.eab.kid", "tls.email", "tls.mode",
}

// TestPathsAreAbsolute gives every text value a relative path. Completing the
// configuration must make the paths absolute and read the secrets' files. A key that
// is in neither list fails the test: decide whether it is a path, and complete it.
func TestPathsAreAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.MkdirAll(filepath.Join("etc", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("etc", "sub", "file"), []byte("read\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &Config{doc: &tomlfile.Doc{}, dir: filepath.Join(dir, "etc"), BGP: &BGP{}}
	fill(reflect.ValueOf(c).Elem())
	c.complete()
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	visit("", reflect.ValueOf(c).Elem(), func(key string, v reflect.Value) {
		seen[key] = true
		got, want := v.String(), "sub/file"
		switch {
		case v.Type() == reflect.TypeFor[Secret]():
			want = "read"
		case key == "store.url":
			want = "file://" + filepath.Join(dir, "etc/sub/file")
		case slices.Contains(pathKeys, key):
			want = filepath.Join(dir, "etc/sub/file")
		case !slices.Contains(otherKeys, key):
			t.Errorf("%s is in neither list of this test", key)
		}
		if got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	})
	for _, key := range slices.Concat(pathKeys, otherKeys) {
		if !seen[key] {
			t.Errorf("%s is no key", key)
		}
	}
}

// TestRelativeFile: the folder of a configuration that is named by a relative path is
// absolute too.
func TestRelativeFile(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"edge.toml", "./edge.toml", "sub/../edge.toml"} {
		c, err := Parse(name, []byte(strings.Replace(small, "name =", "data = \"data\"\nname =", 1)))
		if err != nil {
			t.Fatal(err)
		}
		if c.Edge.Data != filepath.Join(here, "data") || c.Stores[0].Path != filepath.Join(here, "tenants") || c.TLS.Storage != filepath.Join(here, "data/certs") {
			t.Errorf("%s: data %s, store %s, storage %s", name, c.Edge.Data, c.Stores[0].Path, c.TLS.Storage)
		}
	}
}

// fill gives every string below v a relative path, every secret the name of a file,
// and every list and map one element.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("toml") != "" {
				fill(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		elem := reflect.New(v.Type().Elem()).Elem()
		fill(elem)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("k"), elem)
	case reflect.String:
		v.SetString("sub/file")
		if v.Type() == reflect.TypeFor[Secret]() {
			v.SetString("file:sub/file")
		}
	}
}

// visit calls f for every string below v, with its key.
func visit(key string, v reflect.Value, f func(string, reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			visit(key, v.Elem(), f)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Tag.Get("toml"); name != "" {
				visit(strings.TrimPrefix(fmt.Sprintf("%s.%s", key, name), "."), v.Field(i), f)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			visit(key, v.Index(i), f)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			visit(key, v.MapIndex(k), f)
		}
	case reflect.String:
		f(key, v)
	}
}
