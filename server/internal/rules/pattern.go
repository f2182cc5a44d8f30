package rules

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// pattern matches decoded paths as _redirects and _headers write them: "/blog/:slug"
// has a placeholder for one element, "/old/*" matches /old, /old/ and all below it. A path
// matches with and without a slash at its end.
type pattern struct {
	elems []element // without the last "*"
	rest  bool      // it ended in "*"
}

// element is a part of a pattern between slashes.
type element struct {
	text string // decoded, or the name of a placeholder
	any  bool   // it is a placeholder
}

// captures are what a pattern's placeholders stand for.
type captures []capture

type capture struct{ name, value string }

// splat is the name of what "*" stands for.
const splat = "splat"

func parsePattern(s string) (pattern, error) {
	var p pattern
	body, ok := strings.CutPrefix(s, "/")
	if !ok {
		return p, fmt.Errorf("path %q does not start with \"/\"", s)
	}
	if strings.ContainsAny(body, "?#") {
		return p, fmt.Errorf("path %q: a query or a fragment is no part of a path: write \"?\" as %%3F and \"#\" as %%23", s)
	}
	seen := map[string]bool{splat: true}
	for elem := range strings.SplitSeq(body, "/") {
		name, holds := strings.CutPrefix(elem, ":")
		switch {
		case p.rest, elem != "*" && strings.Contains(elem, "*"):
			return p, fmt.Errorf("path %q: \"*\" stands alone, at the end", s)
		case elem == "*":
			p.rest = true
		case holds && (!isWord(name) || seen[name]):
			return p, fmt.Errorf("path %q: a placeholder is a name of letters, digits and \"_\", each used once, not \"splat\"; write a \":\" that begins none as %%3A", s)
		case holds:
			seen[name] = true
			p.elems = append(p.elems, element{name, true})
		default:
			for text := range strings.SplitSeq(decoded(elem), "/") {
				p.elems = append(p.elems, element{text: text})
			}
		}
	}
	if n := len(p.elems); n > 1 && !p.rest && p.elems[n-1] == (element{}) {
		p.elems = p.elems[:n-1]
	}
	return p, nil
}

// decoded is s without its percent-escapes, or s itself if a "%" in it begins none.
func decoded(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

func isWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}

// literal reports whether the pattern is one path only, and which, as trimSlash has it.
func (p pattern) literal() (string, bool) {
	var b strings.Builder
	for _, e := range p.elems {
		if e.any {
			return "", false
		}
		b.WriteString("/" + e.text)
	}
	return trimSlash(b.String()), !p.rest
}

// trimSlash is path without one slash at its end.
func trimSlash(path string) string { return strings.TrimSuffix(path, "/") }

// match reports whether path, which starts with "/", matches. If got is not nil it
// takes what the placeholders stand for.
func (p pattern) match(path string, got *captures) bool {
	rest, more := path[1:], true
	for _, want := range p.elems {
		if !more {
			return false
		}
		var elem string
		elem, rest, more = strings.Cut(rest, "/")
		switch {
		case !want.any && elem != want.text, want.any && elem == "":
			return false
		case want.any && got != nil:
			*got = append(*got, capture{want.text, elem})
		}
	}
	if p.rest && got != nil {
		*got = append(*got, capture{splat, rest})
	}
	return p.rest || !more || rest == ""
}

// template is text with placeholders, cut into pieces: every second one is the
// name of a placeholder.
type template []string

// parseTemplate takes a ":" for the start of a placeholder if the pattern has one of the name
// that follows. Where an element or a value begins, the name of none is a fault; any other ":"
// is text.
func parseTemplate(s string, p pattern) (template, error) {
	names := make(map[string]bool)
	for _, e := range p.elems {
		names[e.text] = names[e.text] || e.any
	}
	names[splat] = p.rest
	var t template
	text := 0 // where the current piece of text begins
	for i := 0; i < len(s); i++ {
		if s[i] != ':' {
			continue
		}
		end := i + 1
		for end < len(s) && isWord(s[end:end+1]) {
			end++
		}
		switch name := s[i+1 : end]; {
		case names[name]:
			t = append(t, s[text:i], name)
			text, i = end, end-1
		case name != "" && (i == 0 || strings.IndexByte("/=&?#", s[i-1]) >= 0):
			return nil, fmt.Errorf("%q is no placeholder of the path: it has those that start with \":\", and \":splat\" if it ends in \"*\"; "+
				"write a \":\" that begins none as %%3A", ":"+name)
		}
	}
	return append(t, s[text:]), nil
}

// fill puts the captures into the template.
func (t template) fill(got captures, escape func(string) string) string {
	if len(t) == 1 {
		return t[0]
	}
	var b strings.Builder
	for i, piece := range t {
		if i%2 == 0 {
			b.WriteString(piece)
			continue
		}
		for _, c := range got {
			if c.name == piece {
				b.WriteString(escape(c.value))
			}
		}
	}
	return b.String()
}

// escapeCapture makes s fit for a URL's path and for a value in its query.
func escapeCapture(s string) string {
	s = (&url.URL{Path: s}).EscapedPath()
	if strings.ContainsAny(s, "&=+;") {
		s = strings.NewReplacer("&", "%26", "=", "%3D", "+", "%2B", ";", "%3B").Replace(s)
	}
	return s
}

// The bounds of a file of rules. A request is matched against each rule that has a
// placeholder or a "*".
const (
	MaxFile     = 256 << 10 // bytes
	maxRuleLine = 2000      // bytes
	maxRules    = 2000
	maxPatterns = 200 // rules with a placeholder or "*"
)

var errRuleLine = errors.New("line too long: it may have 2000 bytes")

// eachLine calls f for each line that says something, and names the line in errors.
func eachLine(file, text string, f func(line string) error) error {
	var errs []error
	n := 0
	text = strings.TrimPrefix(text, "\ufeff") // an editor's byte order mark
	for line := range strings.SplitSeq(text, "\n") {
		n++
		line = strings.TrimRight(line, " \t\r")
		if trimmed := strings.TrimLeft(line, " \t"); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		err := errRuleLine
		if len(line) <= maxRuleLine {
			err = f(line)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, n, err))
		}
		if len(errs) == 10 {
			break
		}
	}
	return errors.Join(errs...)
}
