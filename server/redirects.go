package server

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// redirectsName is the file of a folder that holds its redirects, as Netlify and
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
// that file as what is missing.
const redirectsName = "_redirects"

// redirects are a folder's rules. They are immutable.
type redirects struct {
	rules    []redirect
	literal  map[string][]int // rules by the one path that they match, in order
	patterns []int            // all others, in order
}

type redirect struct {
	from   pattern
	to     template // a path, or an absolute URL
	query  bool     // to has a query of its own
	status int
	force  bool
}

func parseRedirects(text string) (*redirects, error) {
	rs := &redirects{literal: make(map[string][]int)}
	err := eachLine(redirectsName, text, func(line string) error {
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
		if u.RawQuery != "" {
			return fmt.Errorf("%q: status %d shows what is in the folder: want a path without a query", to, r.status)
		}
		r.to, err = parseTemplate(u.Path, r.from)
		return err
	}
	r.query = u.RawQuery != ""
	// The scheme and the port have colons, which are no placeholders.
	origin := ""
	if !inside {
		origin = u.Scheme + "://" + u.Host
	}
	r.to, err = parseTemplate(strings.TrimPrefix(to, origin), r.from)
	if err == nil {
		r.to[0] = origin + r.to[0]
	}
	return err
}

// stays reports whether the visitor's address stays as it is.
func (r *redirect) stays() bool {
	return r.status == http.StatusOK || r.status == http.StatusNotFound
}

// find returns the first rule that matches, and what its placeholders stand for;
// nil if there is none. taken says that the folder has something at the path.
func (rs *redirects) find(path string, taken bool) (*redirect, captures) {
	first := len(rs.rules)
	for _, i := range rs.literal[path] {
		if rs.rules[i].force || !taken {
			first = i
			break
		}
	}
	for _, i := range rs.patterns {
		if i > first {
			break
		}
		r := &rs.rules[i]
		if taken && !r.force {
			continue
		}
		if r.from.match(path, nil) {
			var got captures
			r.from.match(path, &got)
			return r, got
		}
	}
	if first == len(rs.rules) {
		return nil, nil
	}
	return &rs.rules[first], nil
}

// path is the path, decoded, whose target the rule shows.
func (r *redirect) path(got captures) string {
	return r.to.fill(got, func(s string) string { return s })
}

// location is where the rule sends a visitor. It is empty if that would be another
// host than the rule names: "//host" is one to a browser.
func (r *redirect) location(got captures, query string) string {
	to := r.to.fill(got, escapeCapture)
	if strings.HasPrefix(to, "//") {
		return ""
	}
	if query != "" && !r.query {
		to += "?" + query
	}
	return to
}
