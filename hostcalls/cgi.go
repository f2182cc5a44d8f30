package hostcalls

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
)

// Enter tells x which export the engine is about to call, before anything of the
// guest runs. With "_start" the guest is a CGI program (RFC 3875), whose stdout is
// the response; otherwise what it writes there goes to the tenant's log.
func (x *Exchange) Enter(entry string) { x.cgi = entry == EntryCGI }

// EntryCGI is the entry of a CGI program.
const EntryCGI = "_start"

// environ is the environment of a WASI program: the manifest's, and over it the
// variables of RFC 3875.
func (x *Exchange) environ() []string {
	env := map[string]string{}
	maps.Copy(env, x.t.Env)
	r := x.req
	known := r.Client.IsValid()
	for name, value := range r.Header {
		if key, ok := headerVariable(name); ok && (!known || !saysClient(name)) {
			env[key] = strings.Join(value, separator(name))
		}
	}
	if known {
		env["HTTP_FASTLY_CLIENT_IP"] = x.clientIP()
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
		"REMOTE_ADDR":       x.clientIP(),
		"REMOTE_HOST":       x.clientIP(),
		"REQUEST_METHOD":    r.Method,
		"REQUEST_SCHEME":    r.Scheme,
		"REQUEST_URI":       r.Path,
		"SCRIPT_NAME":       strings.TrimSuffix(script, r.Info),
		"SERVER_NAME":       strings.Trim(host, "[]"),
		"SERVER_PORT":       port,
		"SERVER_PROTOCOL":   "HTTP/1.1",
		"SERVER_SOFTWARE":   "terrane",

		"TERRANE_EDGE":       x.t.Edge,
		"TERRANE_REGION":     x.t.Region,
		"TERRANE_REQUEST_ID": r.ID,
	})
	delete(env, "HTTPS")
	if r.Scheme == "https" {
		env["HTTPS"] = "on"
	}
	delete(env, "CONTENT_LENGTH")
	if len(r.Body) > 0 {
		env["CONTENT_LENGTH"] = strconv.Itoa(len(r.Body))
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

// answerCGI makes the response of what a CGI program wrote.
func (x *Exchange) answerCGI() {
	if x.answered || len(x.refused) > 0 { // by hostcalls
		x.program().Print(x.stdout)
		return
	}
	err := x.parseCGI(x.stdout)
	if x.stdoutCut {
		err = fmt.Errorf(moreThanLimit, x.t.maxBody())
	}
	if err != nil {
		clear(x.resp.Header)
		x.resp.Body = x.resp.Body[:0]
		x.resp.Code = http.StatusInternalServerError
		x.refuse(&x.refused, partStdout, "stdout is not a CGI response: %v", err)
	}
}

const moreThanLimit = "a response of more than the limit of %d bytes"

var errNoBlankLine = errors.New("it must begin with a header, such as \"Content-Type: text/plain\", and an empty line")

// parseCGI reads a document or redirect response (RFC 3875 6.2).
func (x *Exchange) parseCGI(out []byte) error {
	status := ""
	seen := false
	for {
		line, rest, ok := bytes.Cut(out, []byte("\n"))
		if !ok {
			return errNoBlankLine
		}
		out = rest
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		var buf [maxName]byte
		key, valid := canonical(&buf, name)
		if !ok || !valid || !validValue(value) {
			return fmt.Errorf("%.80q is no header; %w", line, errNoBlankLine)
		}
		seen = true
		if x.spent += len(line) + headerCost; x.spent > maxHeaders {
			return fmt.Errorf("more than %d bytes of headers", maxHeaders)
		}
		switch {
		case string(key) == "Status":
			status = string(value)
		case !HostOwned(key):
			x.resp.Header[intern(key)] = append(x.resp.Header[string(key)], string(value))
		}
	}
	if !seen {
		return errNoBlankLine
	}
	if int64(len(out)) > x.t.maxBody() {
		return fmt.Errorf("a body of %d bytes exceeds the limit of %d", len(out), x.t.maxBody())
	}
	x.resp.Body = append(x.resp.Body[:0], out...)
	return x.setStatus(status)
}

func (x *Exchange) setStatus(status string) error {
	if status == "" {
		if x.resp.Header["Location"] != nil {
			x.resp.Code = http.StatusFound
		}
		return nil
	}
	digits, _, _ := strings.Cut(status, " ")
	code, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || !validCode(uint32(code)) {
		return fmt.Errorf("%.40q is no status from 200 to 999", status)
	}
	x.resp.Code = int(code)
	return nil
}
