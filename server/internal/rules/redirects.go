package rules

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// RedirectsFile is the file of a folder that holds its redirects, as Netlify and
// Cloudflare Pages read it:
//
//	# from          to                        status
//	/old            /new                      301
//	/blog/:slug     /posts/:slug
//	/docs/*         https://docs.example/:splat  302
//	/app/*          /app/index.html           200
//	/secret         /404.html                 404!
//
// The first line that matches counts. It does when nothing else has the path, or
// when the status ends in "!". Status 200 shows what is at the other path; 404 shows
// that file as what is missing. Paths may have percent-escapes, and match with and without a
// slash at the end; of two lines for one path, the one that has the visitor's slash counts. A
// line that would send a visitor to the address asked for does not match.
const RedirectsFile = "_redirects"

// Redirects are the redirects of a folder. They are immutable; nil has none.
type Redirects struct {
	rules    []redirect
	literal  map[string][]int // rules by the one path that they match, by trimSlash, in order
	patterns []int            // all others, in order
}

type redirect struct {
	from   pattern
	slash  bool     // from ends in "/"
	host   string   // of an absolute URL, as it is in origin
	origin string   // of an absolute URL: scheme, host and port; empty: to is of this host
	to     template // a path, with a query and a fragment if the visitor is sent there
	query  bool     // to has a query
	status int
	force  bool
}

// ParseRedirects reads a file of redirects. Its error names each faulty line.
func ParseRedirects(text string) (*Redirects, error) {
	rs := &Redirects{literal: make(map[string][]int)}
	err := eachLine(RedirectsFile, text, func(line string) error {
		r, err := parseRedirect(strings.Fields(line))
		if err != nil {
			return err
		}
		i := len(rs.rules)
		if path, ok := r.from.literal(); ok {
			rs.literal[path] = append(rs.literal[path], i)
		} else {
			rs.patterns = append(rs.patterns, i)
		}
		if i == maxRules || len(rs.patterns) > maxPatterns {
			return fmt.Errorf("too many rules: a folder may have %d, of which %d with \"*\" or a placeholder", maxRules, maxPatterns)
		}
		rs.rules = append(rs.rules, r)
		return nil
	})
	return rs, err
}

func parseRedirect(fields []string) (r redirect, err error) {
	if len(fields) < 2 {
		return r, errors.New(`want "from to [status]"`)
	}
	if len(fields) > 3 {
		return r, fmt.Errorf("%q: conditions and query parameters are not known here", fields[3])
	}
	if r.from, err = parsePattern(fields[0]); err != nil {
		return r, err
	}
	r.slash = strings.HasSuffix(fields[0], "/")
	r.status = http.StatusMovedPermanently
	if len(fields) == 3 {
		if r.status, r.force, err = parseStatus(fields[2]); err != nil {
			return r, err
		}
	}
	return r, r.parseTarget(fields[1])
}

func parseStatus(s string) (status int, force bool, err error) {
	s, force = strings.CutSuffix(s, "!")
	status, err = strconv.Atoi(s)
	if err != nil || !slices.Contains([]int{200, 301, 302, 303, 307, 308, 404}, status) {
		return 0, false, fmt.Errorf("status %q: want 200, 301, 302, 303, 307, 308 or 404, with \"!\" to go before files", s)
	}
	return status, force, nil
}

func (r *redirect) parseTarget(to string) (err error) {
	inside := strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//")
	u, err := url.Parse(to)
	switch {
	case err != nil || !inside && (u.Scheme != "https" && u.Scheme != "http" || u.Host == ""):
		return fmt.Errorf("%q: want a path, or a URL that starts with https:// or http:// and has placeholders only behind the host", to)
	case u.User != nil:
		return fmt.Errorf("%q: visitors would see the name before the \"@\"", to)
	case !inside && r.stays():
		return fmt.Errorf("%q: status %d shows what is in the folder: want a path", to, r.status)
	}
	if r.stays() {
		if strings.ContainsAny(to, "?#") {
			return fmt.Errorf("%q: status %d shows what is in the folder: want a path without a query or a fragment", to, r.status)
		}
		r.to, err = parseTemplate(to, r.from)
		for i := 0; i < len(r.to); i += 2 {
			r.to[i] = decoded(r.to[i])
		}
		return err
	}
	r.query = u.RawQuery != "" || u.ForceQuery
	if !inside { // the colons of the scheme and the port begin no placeholders
		if r.host, err = asciiHost(u.Hostname()); err != nil {
			return fmt.Errorf("%q: %w", to, err)
		}
		r.origin = u.Scheme + "://" + strings.Replace(u.Host, u.Hostname(), r.host, 1)
		_, to, _ = strings.Cut(to, "://")
		if i := strings.IndexAny(to, "/?#"); i >= 0 {
			to = to[i:]
		} else {
			to = ""
		}
	}
	r.to, err = parseTemplate(to, r.from)
	return err
}

// asciiHost is a host name as it is in a Location header.
func asciiHost(name string) (string, error) {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return idna.Lookup.ToASCII(name)
		}
	}
	return name, nil
}

// stays reports whether the visitor's address stays as it is.
func (r *redirect) stays() bool {
	return r.status == http.StatusOK || r.status == http.StatusNotFound
}

// Match is a redirect that applies to a path.
type Match struct {
	rule *redirect
	got  captures
}

// Status is what the visitor is answered with, if Stays is false.
func (m Match) Status() int { return m.rule.status }

// Stays reports whether the visitor's address stays as it is: Path shows what is there, for
// Status 200 as such, for 404 as the page of what is missing.
func (m Match) Stays() bool { return m.rule.stays() }

// Find returns the first rule that applies to an absolute, decoded path of a host; false if
// there is none. taken says that the folder has something at the path.
func (rs *Redirects) Find(host, path string, taken bool) (Match, bool) {
	if rs == nil {
		return Match{}, false
	}
	first := rs.literally(host, path, taken)
	for _, i := range rs.patterns {
		if i > first {
			break
		}
		if r := &rs.rules[i]; (r.force || !taken) && r.from.match(path, nil) {
			var got captures
			r.from.match(path, &got)
			if m := (Match{r, got}); !m.returns(host, path) {
				return m, true
			}
		}
	}
	if first == len(rs.rules) {
		return Match{}, false
	}
	return Match{&rs.rules[first], nil}, true
}

// literally is the first rule that applies among those that match the path alone: one with
// the same slash at the end if there is one. It is len(rs.rules) if there is none.
func (rs *Redirects) literally(host, path string, taken bool) int {
	first := len(rs.rules)
	for _, i := range rs.literal[trimSlash(path)] {
		r := &rs.rules[i]
		if taken && !r.force || (Match{r, nil}).returns(host, path) {
			continue
		}
		if r.slash == strings.HasSuffix(path, "/") {
			return i
		}
		first = min(first, i)
	}
	return first
}

// returns reports whether the visitor would be sent to the address that was asked for.
func (m Match) returns(host, path string) bool {
	if m.Stays() || m.rule.origin != "" && !strings.EqualFold(m.rule.host, host) {
		return false
	}
	to := m.rule.to.fill(m.got, escapeCapture)
	if i := strings.IndexAny(to, "?#"); i >= 0 {
		to = to[:i]
	}
	return decoded(to) == path || to == "" && path == "/"
}

// Path is the decoded path whose target is shown.
func (m Match) Path() string {
	return m.rule.to.fill(m.got, func(s string) string { return s })
}

// Location is where the visitor is sent, with the query of the request. It is empty if that
// would be another host than the rule names: "//host" is one to a browser.
func (m Match) Location(query string) string {
	to := m.rule.to.fill(m.got, escapeCapture)
	if m.rule.origin == "" && strings.HasPrefix(to, "//") {
		return ""
	}
	if query != "" && !m.rule.query {
		path, fragment, found := strings.Cut(to, "#")
		to = path + "?" + query
		if found {
			to += "#" + fragment
		}
	}
	return m.rule.origin + to
}
