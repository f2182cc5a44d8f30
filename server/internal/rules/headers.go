package rules

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// HeadersFile is the file of a folder that holds headers for its files, as Netlify
// and Cloudflare Pages read it:
//
//	/assets/*
//	  Cache-Control: public, max-age=31536000, immutable
//	/*
//	  X-Frame-Options: DENY
//
// A rule is for files: it matches the path of the file that is served, "/a/index.html"
// or "/a/" for a folder's page, whatever path a visitor asked for. All rules that match
// count. Modules set their own headers.
const HeadersFile = "_headers"

// Headers are the headers that a folder adds to its files. They are immutable; nil has none.
type Headers struct{ rules []headerRule }

type headerRule struct {
	path   pattern
	fields []headerField
}

type headerField struct{ name, value string }

// ParseHeaders reads a file of headers. reserved reports names, in canonical form, that no
// folder may set. The error names each faulty line.
func ParseHeaders(text string, reserved func(name string) bool) (*Headers, error) {
	hs := new(Headers)
	err := eachLine(HeadersFile, text, func(line string) error {
		if line[0] != ' ' && line[0] != '\t' {
			p, err := parsePattern(line)
			if err == nil && len(hs.rules) == maxPatterns {
				err = fmt.Errorf("too many rules: a folder may have %d", maxPatterns)
			}
			hs.rules = append(hs.rules, headerRule{path: p})
			return err
		}
		if len(hs.rules) == 0 {
			return errors.New("a header stands below the path that it is for")
		}
		f, err := parseHeader(strings.TrimLeft(line, " \t"), reserved)
		last := &hs.rules[len(hs.rules)-1]
		last.fields = append(last.fields, f)
		return err
	})
	return hs, err
}

func parseHeader(line string, reserved func(string) bool) (headerField, error) {
	name, value, ok := strings.Cut(line, ":")
	name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
	f := headerField{name, strings.TrimSpace(value)}
	switch {
	case !ok || !httpguts.ValidHeaderFieldName(name):
		return f, fmt.Errorf(`%q: want "Name: value"`, line)
	case !httpguts.ValidHeaderFieldValue(f.value):
		return f, fmt.Errorf("%s: the value has a control character", name)
	case name == "Basic-Auth":
		return f, errors.New("passwords by Basic-Auth are not known here, and visitors would see them")
	case reserved(name):
		return f, fmt.Errorf("%s is for the edge to set", name)
	}
	return f, nil
}

// Set adds the headers of all rules that match the file. The first value of a name
// takes the place of the edge's own, as with Content-Type.
func (hs *Headers) Set(h http.Header, file string) {
	if hs == nil {
		return
	}
	path := "/" + file
	folder := path // the other path of a folder's page
	if dir, ok := strings.CutSuffix(path, "/index.html"); ok {
		folder = dir + "/"
	}
	var ours map[string]bool
	for i := range hs.rules {
		if p := &hs.rules[i].path; !p.match(path, nil) && !p.match(folder, nil) {
			continue
		}
		for _, f := range hs.rules[i].fields {
			if ours == nil {
				ours = make(map[string]bool)
			}
			if !ours[f.name] && f.name != "Vary" {
				delete(h, f.name)
			}
			ours[f.name] = true
			h[f.name] = append(h[f.name], f.value)
		}
	}
}
