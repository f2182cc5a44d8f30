package rules

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// pattern matches decoded paths as _redirects and _headers write them: "/blog/:slug"
// has a placeholder for one element, "/old/*" matches /old, /old/ and all below it.
type pattern struct {
	elems []string // without the last "*"
	rest  bool     // it ended in "*"
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
	seen := map[string]bool{splat: true}
	for elem := range strings.SplitSeq(body, "/") {
		name, holds := strings.CutPrefix(elem, ":")
		switch {
		case p.rest, elem != "*" && strings.Contains(elem, "*"):
			return p, fmt.Errorf("path %q: \"*\" stands alone, at the end", s)
		case elem == "*":
			p.rest = true
			continue
		case holds && (!isWord(name) || seen[name]):
			return p, fmt.Errorf("path %q: a placeholder is a name of letters, digits and \"_\", each used once, not \"splat\"", s)
		case holds:
			seen[name] = true
		}
		p.elems = append(p.elems, elem)
	}
	return p, nil
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

// literal reports whether the pattern is one path only, and which.
func (p pattern) literal() (string, bool) {
	for _, e := range p.elems {
		if strings.HasPrefix(e, ":") {
			return "", false
		}
	}
	return "/" + strings.Join(p.elems, "/"), !p.rest
}

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
		switch name, holds := strings.CutPrefix(want, ":"); {
		case !holds && elem != want, elem == "" && want != "":
			return false
		case holds && got != nil:
			*got = append(*got, capture{name, elem})
		}
	}
	if p.rest && got != nil {
		*got = append(*got, capture{splat, rest})
	}
	return p.rest || !more
}

// template is text with placeholders, cut into pieces: every second one is the
// name of a placeholder.
type template []string

func parseTemplate(s string, p pattern) (template, error) {
	names := make(map[string]bool)
	for _, e := range p.elems {
		if name, holds := strings.CutPrefix(e, ":"); holds {
			names[name] = true
		}
	}
	names[splat] = p.rest
	var t template
	for {
		before, after, found := strings.Cut(s, ":")
		end := 0
		for end < len(after) && isWord(after[end:end+1]) {
			end++
		}
		t = append(t, before)
		switch name := after[:end]; {
		case !found:
			return t, nil
		case names[name]:
			t, s = append(t, name), after[end:]
		default:
			return nil, fmt.Errorf("%q is no placeholder of the path: it has those that start with \":\", and \":splat\" if it ends in \"*\"", ":"+name)
		}
	}
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
