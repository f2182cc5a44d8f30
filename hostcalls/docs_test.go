package hostcalls_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
)

// docs/hostcalls.md lists each function with its type, its meaning and its age.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/hostcalls.md")
	if err != nil {
		t.Fatal(err)
	}
	code := map[string]string{}
	for _, f := range hostcalls.Functions() {
		code[f.Module+"."+f.Name] = signature(f)
	}
	heading := regexp.MustCompile("^## Module `(\\w+)`")
	row := regexp.MustCompile("^\\| `(\\w+)` \\| (.*) \\| (.*) \\| (.+) \\| (.+) \\| (\\d+\\.\\d+) \\|$")
	module := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if m := heading.FindStringSubmatch(line); m != nil {
			module = m[1]
		}
		if module == "wasi_snapshot_preview1" {
			for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(line, -1) {
				delete(code, module+"."+m[1]) // their types are WASI's
			}
			continue
		}
		if !strings.HasPrefix(line, "| `hostcall_") && !strings.HasPrefix(line, "| `abort`") {
			continue
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("a row without all of its columns: %s", line)
			continue
		}
		name := module + "." + m[1]
		if got, want := documented(m[2], m[3]), code[name]; got != want {
			t.Errorf("%s: documented as %s, in the code %q", name, got, want)
		}
		delete(code, name)
	}
	for name, sig := range code {
		t.Errorf("%s %s is not documented", name, sig)
	}
}

// Each function that Terrarium did not have is declared in Rust, C, Go and AssemblyScript.
func TestDocsDeclareNewFunctions(t *testing.T) {
	text, err := os.ReadFile("../docs/hostcalls.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(\\w+)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 4 {
		t.Fatalf("%d blocks of declarations, want 4", len(blocks))
	}
	first := blocks[0][2]
	for _, name := range regexp.MustCompile(`hostcall_\w+`).FindAllString(first, -1) {
		for _, b := range blocks {
			if !regexp.MustCompile(`\b` + name + `\b`).MatchString(b[2]) {
				t.Errorf("%s is not declared in %s", name, b[1])
			}
		}
	}
}

func signature(f hostcalls.Func) string {
	var s strings.Builder
	for _, p := range f.Params {
		s.WriteString(p.String() + " ")
	}
	s.WriteString("->")
	for _, r := range f.Results {
		s.WriteString(" " + r.String())
	}
	return s.String()
}

// documented is the signature that a row tells.
func documented(params, result string) string {
	var s strings.Builder
	if params != "-" {
		for p := range strings.SplitSeq(strings.Trim(params, "`"), ", ") {
			s.WriteString(valueType(p) + " ")
		}
	}
	s.WriteString("->")
	if result != "-" {
		s.WriteString(" " + valueType(result))
	}
	return s.String()
}

func valueType(s string) string {
	if strings.HasSuffix(s, "i64") {
		return "i64"
	}
	return "i32"
}
