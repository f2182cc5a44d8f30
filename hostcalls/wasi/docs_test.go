package wasi_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls/wasi"
	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// TestDocs compares the table of docs/components.md with the interfaces that are offered, each with its
// versions.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/components.md")
	if err != nil {
		t.Fatal(err)
	}
	offered := map[string][]string{}
	for _, i := range wasi.Interfaces() {
		if i.Name == abi.Module {
			continue // for the module that is made of a component
		}
		version := i.Version
		switch version {
		case "0.2":
			version = "0.2.x"
		case "":
			version = "none"
		}
		offered[i.Name] = append(offered[i.Name], version)
	}
	row := regexp.MustCompile("^\\| `([a-z]+:[a-z/-]+)` \\| ([^|]+) \\|")
	for line := range strings.Lines(string(text)) {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		versions := strings.Split(strings.ReplaceAll(m[2], "`", ""), ", ")
		have := offered[m[1]]
		slices.Sort(versions)
		slices.Sort(have)
		if !slices.Equal(versions, have) {
			t.Errorf("%s: documented in the versions %q, offered in %q", m[1], versions, have)
		}
		delete(offered, m[1])
	}
	for name, versions := range offered {
		t.Errorf("%s %q is not documented", name, versions)
	}
}
