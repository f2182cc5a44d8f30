package wasi_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls/wasi"
)

// witFolder is where jco keeps the text of the interfaces: in the folder TERRANE_JCO, or in npm's.
func witFolder(t *testing.T) string {
	dir := os.Getenv("TERRANE_JCO")
	if dir == "" {
		root, err := exec.Command("npm", "root", "-g").Output()
		if err != nil {
			t.Skip("no npm: npm install -g @bytecodealliance/jco, or set TERRANE_JCO to its folder")
		}
		dir = filepath.Join(strings.TrimSpace(string(root)), "@bytecodealliance", "jco")
	}
	dir = filepath.Join(dir, "lib", "wit", "builtin", "0.2.12")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no WIT: npm install -g @bytecodealliance/jco, or set TERRANE_JCO to its folder")
	}
	return dir
}

// TestInterfacesAreThoseOfWIT compares each table with the text of its interface.
func TestInterfacesAreThoseOfWIT(t *testing.T) {
	dir := witFolder(t)
	w := world{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".wit" {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			w.read(string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	offered := map[string]bool{}
	functions := 0
	for _, i := range wasi.Interfaces() {
		if i.Version != "0.2" {
			continue // those of jco are stable
		}
		offered[i.Name] = true
		known := w[i.Name]
		if known == nil {
			t.Errorf("%s is not in the WIT", i.Name)
			continue
		}
		have := i.Describe()
		for name, got := range have {
			want, ok := known.funcs[name]
			if !ok {
				t.Errorf("%s %s is not in the WIT", i.Name, name)
				continue
			}
			functions++
			if want != "" {
				want = w.function(i.Name, want)
			}
			if got != want {
				t.Errorf("%s %s is\n%s, in the WIT\n%s", i.Name, name, got, want)
			}
		}
		for name := range known.funcs {
			if _, ok := have[name]; !ok {
				t.Errorf("%s %s is not offered", i.Name, name)
			}
		}
	}
	for name, i := range w {
		if !offered[name] && len(i.funcs) > 0 && name != "wasi:http/incoming-handler" && name != "wasi:cli/run" {
			t.Errorf("%s is not offered", name)
		}
	}
	t.Logf("%d functions of %d interfaces", functions, len(offered))
}

// world has interfaces by their names without versions.
type world map[string]*witInterface

type witInterface struct {
	types map[string]string // a definition, or "use INTERFACE NAME"
	funcs map[string]string // as imports name them; text of their types; empty for a drop
}

var (
	comments   = regexp.MustCompile(`(?m)//.*$`)
	attributes = regexp.MustCompile(`@(since|unstable|deprecated)\([^)]*\)`)
	versions   = regexp.MustCompile(`@\d+\.\d+\.\d+`)
	spaces     = regexp.MustCompile(`\s+`)
)

// block takes text up to the brace that closes the first one.
func block(text string) (head, body, rest string) {
	open := strings.IndexByte(text, '{')
	depth := 0
	for i := open; i < len(text); i++ {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return strings.TrimSpace(text[:open]), text[open+1 : i], text[i+1:]
			}
		}
	}
	panic("a brace is not closed")
}

func (w world) read(text string) {
	text = comments.ReplaceAllString(text, "")
	text = attributes.ReplaceAllString(text, "")
	text = versions.ReplaceAllString(text, "")
	text = spaces.ReplaceAllString(text, " ")
	head, text, _ := strings.Cut(text, ";")
	pkg := strings.TrimPrefix(strings.TrimSpace(head), "package ")
	for strings.Contains(text, "{") {
		var head, body string
		head, body, text = block(text)
		if name, ok := strings.CutPrefix(head, "interface "); ok {
			w.readInterface(pkg, pkg+"/"+name, body)
		}
	}
}

func (w world) readInterface(pkg, name, body string) {
	i := &witInterface{types: map[string]string{}, funcs: map[string]string{}}
	w[name] = i
	for body = strings.TrimSpace(body); body != ""; body = strings.TrimSpace(body) {
		semi, brace := strings.IndexByte(body, ';'), strings.IndexByte(body, '{')
		if strings.HasPrefix(body, "use ") {
			var line string
			line, body, _ = strings.Cut(body, ";")
			from, list, _ := strings.Cut(strings.TrimPrefix(line, "use "), ".{")
			if !strings.Contains(from, ":") {
				from = pkg + "/" + from
			}
			for _, n := range strings.Split(strings.Trim(list, " }"), ",") {
				if original, as, ok := strings.Cut(strings.TrimSpace(n), " as "); ok {
					i.types[as] = "use " + from + " " + original
				} else if n = strings.TrimSpace(n); n != "" {
					i.types[n] = "use " + from + " " + n
				}
			}
			continue
		}
		if brace < 0 || semi >= 0 && semi < brace {
			var line string
			line, body, _ = strings.Cut(body, ";")
			i.line(line)
			continue
		}
		var head, inner string
		head, inner, body = block(body)
		kind, n, _ := strings.Cut(head, " ")
		if kind != "resource" {
			i.types[strings.TrimPrefix(n, "%")] = kind + "{" + inner + "}"
			continue
		}
		i.resource(n)
		for _, line := range strings.Split(inner, ";") {
			line = strings.TrimSpace(line)
			method, typ, _ := strings.Cut(line, ":")
			method, typ = strings.TrimPrefix(method, "%"), strings.TrimSpace(typ)
			switch {
			case line == "":
			case strings.HasPrefix(line, "constructor"):
				i.funcs["[constructor]"+n] = "func" + strings.TrimPrefix(line, "constructor") + " -> " + n
			case strings.HasPrefix(typ, "static func"):
				i.funcs["[static]"+n+"."+method] = strings.TrimPrefix(typ, "static ")
			default:
				i.funcs["[method]"+n+"."+method] = strings.Replace(typ, "func(", "func(self: borrow<"+n+">, ", 1)
			}
		}
	}
}

func (i *witInterface) resource(n string) {
	i.types[n] = "resource"
	i.funcs["[resource-drop]"+n] = ""
}

func (i *witInterface) line(line string) {
	if n, ok := strings.CutPrefix(line, "resource "); ok {
		i.resource(n)
	} else if def, ok := strings.CutPrefix(line, "type "); ok {
		n, typ, _ := strings.Cut(def, "=")
		i.types[strings.TrimSpace(n)] = typ
	} else {
		n, typ, _ := strings.Cut(line, ":")
		i.funcs[strings.TrimPrefix(n, "%")] = strings.TrimSpace(typ)
	}
}

// reader resolves the names in a type's text.
type reader struct {
	w     world
	iface string
	rest  string
}

func (w world) function(iface, text string) string {
	r := &reader{w, iface, text}
	r.want("func")
	r.want("(")
	var params []string
	for !r.eat(")") {
		n := r.word()
		r.want(":")
		params = append(params, n+": "+r.typ())
		r.eat(",")
	}
	out := "func(" + strings.Join(params, ", ") + ")"
	if r.eat("->") {
		out += " -> " + r.typ()
	}
	return out
}

func (r *reader) eat(s string) bool {
	r.rest = strings.TrimLeft(r.rest, " ")
	rest, ok := strings.CutPrefix(r.rest, s)
	if ok {
		r.rest = rest
	}
	return ok
}

func (r *reader) want(s string) {
	if !r.eat(s) {
		panic(fmt.Sprintf("%s: want %q at %q", r.iface, s, r.rest))
	}
}

var word = regexp.MustCompile(`^ *%?([A-Za-z0-9]+(-[A-Za-z0-9]+)*)`)

func (r *reader) word() string {
	m := word.FindStringSubmatch(r.rest)
	if m == nil {
		panic(fmt.Sprintf("%s: want a name at %q", r.iface, r.rest))
	}
	r.rest = r.rest[len(m[0]):]
	return m[1]
}

func (r *reader) typ() string {
	switch n := r.word(); n {
	case "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "bool", "char", "string":
		return n
	case "list":
		r.want("<")
		defer r.want(">")
		return "list<" + r.typ() + ">"
	case "option":
		r.want("<")
		defer r.want(">")
		return "variant{none, some(" + r.typ() + ")}"
	case "result":
		ok, err := "ok", "error"
		if r.eat("<") {
			if !r.eat("_") {
				ok += "(" + r.typ() + ")"
			}
			if r.eat(",") {
				err += "(" + r.typ() + ")"
			}
			r.want(">")
		}
		return "variant{" + ok + ", " + err + "}"
	case "tuple":
		r.want("<")
		var parts []string
		for !r.eat(">") {
			parts = append(parts, fmt.Sprintf("%d: %s", len(parts), r.typ()))
			r.eat(",")
		}
		return "record{" + strings.Join(parts, ", ") + "}"
	case "borrow", "own":
		r.want("<")
		defer r.want(">")
		return n + "<" + r.word() + ">"
	case "record", "variant", "enum", "flags":
		var parts []string
		r.want("{")
		for !r.eat("}") {
			part := r.word()
			switch {
			case r.eat(":"):
				part += ": " + r.typ()
			case r.eat("("):
				part += "(" + r.typ() + ")"
				r.want(")")
			}
			parts = append(parts, part)
			r.eat(",")
		}
		return strings.Replace(n, "enum", "variant", 1) + "{" + strings.Join(parts, ", ") + "}"
	default:
		return r.w.named(r.iface, n, n)
	}
}

// named is the type that an interface has under a name, which is called as if it is a resource.
func (w world) named(iface, n, as string) string {
	def := w[iface].types[n]
	if from, ok := strings.CutPrefix(def, "use "); ok {
		other, original, _ := strings.Cut(from, " ")
		return w.named(other, original, as)
	}
	if def == "resource" {
		return "own<" + as + ">"
	}
	if alias := w[iface].types[strings.TrimSpace(def)]; alias == "resource" {
		return "own<" + strings.TrimSpace(def) + ">"
	}
	if def == "" {
		panic(fmt.Sprintf("no type %s in %s", n, iface))
	}
	return (&reader{w, iface, def}).typ()
}
