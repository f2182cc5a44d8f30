// Package cgi is RFC 3875 for programs whose request is in the environment and whose response
// is what they write to stdout. It knows the text of both, and neither requests of hostcalls nor
// WASI.
package cgi

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/terrane/terrane/hostcalls/field"
)

// Request is what a program's environment tells.
type Request struct {
	ID, Method, Path, Host, Scheme string // Path with the query, as received
	Info                           string // the path's rest behind the program
	Header                         http.Header
	Length                         int    // of the body
	Client                         string // the visitor's address; empty: not known
	Edge, Region                   string
}

// Environ is the environment of a program, sorted: env, and over it the variables of RFC 3875.
func Environ(env map[string]string, r *Request) []string {
	env = maps.Clone(env)
	if env == nil {
		env = map[string]string{}
	}
	known := r.Client != ""
	for name, value := range r.Header {
		if key, ok := headerVariable(name); ok && (!known || !saysClient(name)) {
			env[key] = strings.Join(value, separator(name))
		}
	}
	if known {
		env["HTTP_FASTLY_CLIENT_IP"] = r.Client
	}
	rawPath, query, _ := strings.Cut(r.Path, "?")
	script, err := url.PathUnescape(rawPath)
	if err != nil {
		script = rawPath
	}
	host, port := r.Host, map[string]string{"https": "443"}[r.Scheme]
	if h, p, err := net.SplitHostPort(r.Host); err == nil {
		host, port = h, p
	}
	if port == "" {
		port = "80"
	}
	maps.Copy(env, map[string]string{
		"GATEWAY_INTERFACE": "CGI/1.1",
		"HTTP_HOST":         r.Host,
		"PATH_INFO":         r.Info,
		"QUERY_STRING":      query,
		"REMOTE_ADDR":       r.Client,
		"REMOTE_HOST":       r.Client,
		"REQUEST_METHOD":    r.Method,
		"REQUEST_SCHEME":    r.Scheme,
		"REQUEST_URI":       r.Path,
		"SCRIPT_NAME":       strings.TrimSuffix(script, r.Info),
		"SERVER_NAME":       strings.Trim(host, "[]"),
		"SERVER_PORT":       port,
		"SERVER_PROTOCOL":   "HTTP/1.1",
		"SERVER_SOFTWARE":   "terrane",

		"TERRANE_EDGE":       r.Edge,
		"TERRANE_REGION":     r.Region,
		"TERRANE_REQUEST_ID": r.ID,
	})
	delete(env, "HTTPS")
	if r.Scheme == "https" {
		env["HTTPS"] = "on"
	}
	delete(env, "CONTENT_LENGTH")
	if r.Length > 0 {
		env["CONTENT_LENGTH"] = strconv.Itoa(r.Length)
	}
	delete(env, "CONTENT_TYPE")
	if t := r.Header["Content-Type"]; len(t) > 0 {
		env["CONTENT_TYPE"] = t[0]
	}
	list := make([]string, 0, len(env))
	for key, value := range env {
		if !strings.Contains(key+value, "\x00") {
			list = append(list, key+"="+value)
		}
	}
	slices.Sort(list)
	return list
}

// headerVariable is the variable of a header. Names with an underscore would be
// taken for others, and HTTP_PROXY would be taken for the program's own proxy.
func headerVariable(name string) (string, bool) {
	switch {
	case name == "Proxy" || name == "Content-Type" || name == "Content-Length" || strings.Contains(name, "_"):
		return "", false
	}
	return "HTTP_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")), true
}

func separator(name string) string {
	if name == "Cookie" {
		return "; "
	}
	return ", "
}

// saysClient reports whether programs take the header of that canonical name for the
// visitor's address, other than Fastly-Client-Ip, which the host sets. All may be forged.
func saysClient(name string) bool {
	switch name {
	case "X-Fastly-Client-Ip", "Forwarded", "X-Forwarded-For", "X-Real-Ip", "X-Client-Ip", "Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip",
		"Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Fly-Client-Ip", "X-Envoy-External-Address", "X-Originating-Ip", "X-Remote-Ip", "X-Remote-Addr",
		"Remote-Addr", "X-Forwarded", "Forwarded-For":
		return true
	}
	return false
}

var errNoBlankLine = errors.New("it must begin with a header, such as \"Content-Type: text/plain\", and an empty line")

// Parse reads a document or redirect response (RFC 3875 6.2). It adds the fields of the header
// to h, and returns the status and the body, which is a part of out. room is how many bytes the
// fields may take, by the rules of package field.
func Parse(out []byte, h http.Header, room int) (code int, body []byte, err error) {
	status := ""
	seen := false
	for {
		line, rest, ok := bytes.Cut(out, []byte("\n"))
		if !ok {
			return 0, nil, errNoBlankLine
		}
		out = rest
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		var buf [field.MaxName]byte
		key, valid := field.Canonical(&buf, name)
		if !ok || !valid || !field.ValidValue(value) {
			return 0, nil, fmt.Errorf("%.80q is no header; %w", line, errNoBlankLine)
		}
		seen = true
		if room -= len(line) + field.Cost; room < 0 {
			return 0, nil, fmt.Errorf("more than %d bytes of headers", field.MaxBytes)
		}
		switch {
		case string(key) == "Status":
			status = string(value)
		case !field.HostOwned(key):
			h[field.Intern(key)] = append(h[string(key)], string(value))
		}
	}
	if !seen {
		return 0, nil, errNoBlankLine
	}
	code, err = parseStatus(status, h)
	return code, out, err
}

func parseStatus(status string, h http.Header) (int, error) {
	if status == "" {
		if h["Location"] != nil {
			return http.StatusFound, nil
		}
		return http.StatusOK, nil
	}
	digits, _, _ := strings.Cut(status, " ")
	code, err := strconv.Atoi(digits)
	if err != nil || code < 200 || code > 999 {
		return 0, fmt.Errorf("%.40q is no status from 200 to 999", status)
	}
	return code, nil
}
