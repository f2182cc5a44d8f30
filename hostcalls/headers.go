package hostcalls

import (
	"net/http"
	"net/textproto"
	"slices"

	"github.com/terrane/terrane/hostcalls/guestmem"
)

// maxHeaders is how many bytes of headers, over all its setters, one request may
// set; each value counts its name and headerCost more.
const (
	maxHeaders = 256 << 10
	headerCost = 32
)

// maxName is the length of the longest header name.
const maxName = 256

// canonical puts name into the canonical form of net/http, in buf.
func canonical(buf *[maxName]byte, name []byte) ([]byte, bool) {
	if len(name) == 0 || len(name) > len(buf) {
		return nil, false
	}
	upper := true
	for i, c := range name {
		if !tokenByte(c) {
			return nil, false
		}
		switch {
		case upper && 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case !upper && 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		upper = c == '-'
		buf[i] = c
	}
	return buf[:len(name)], true
}

// tokenByte reports whether c may stand in a token (RFC 9110 5.6.2).
func tokenByte(c byte) bool {
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func token(b []byte) bool {
	return len(b) > 0 && !slices.ContainsFunc(b, func(c byte) bool { return !tokenByte(c) })
}

// validValue reports whether b may be a header's value (RFC 9110 5.5).
func validValue(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

// HostOwned reports whether the host alone sets the header of that canonical name: it
// frames the message or is about the connection (RFC 9110 7.6.1). Guests copy such
// headers from other messages, so that setting one is no mistake, and does nothing.
func HostOwned[T string | []byte](name T) bool {
	switch string(name) {
	case "Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// intern is string(name) without an allocation for the names that guests mostly use.
func intern(name []byte) string {
	switch string(name) {
	case "Content-Type":
		return "Content-Type"
	case "Cache-Control":
		return "Cache-Control"
	case "Location":
		return "Location"
	case "Set-Cookie":
		return "Set-Cookie"
	case "Accept":
		return "Accept"
	case "Authorization":
		return "Authorization"
	case "User-Agent":
		return "User-Agent"
	case "Etag":
		return "Etag"
	case "Access-Control-Allow-Origin":
		return "Access-Control-Allow-Origin"
	}
	return textproto.CanonicalMIMEHeaderKey(string(name)) // interned there, if common
}

// lookup is h[name], whatever the case of name.
func lookup(h http.Header, name []byte) []string {
	var buf [maxName]byte
	key, ok := canonical(&buf, name)
	if !ok {
		return nil
	}
	return h[string(key)]
}

// setHeader replaces the values of a name in h by those of list. It reports
// whether they are valid; if they are not, or cannot be read, h is as it was.
func (x *Exchange) setHeader(h http.Header, refused *refusals, name []byte, values guestmem.List) (bool, error) {
	var buf [maxName]byte
	key, valid := canonical(&buf, name)
	if !valid {
		return x.refuse(refused, string(name[:min(len(name), maxName)]), "%.80q is not a name of a header", name), nil
	}
	start, spent, wrong := len(x.values), 0, ""
	if values.Len() > guestmem.MaxList {
		wrong = "has too many values"
	}
	var err error
	for wrong == "" && err == nil && values.Len() > 0 {
		var v []byte
		v, err = values.Next()
		spent += len(key) + len(v) + headerCost
		switch {
		case spent+x.spent > maxHeaders:
			wrong = "exceeds the limit on the request's headers"
		case !validValue(v):
			wrong = "has a control character in its value"
		default:
			x.values = append(x.values, string(v))
		}
	}
	if err != nil || wrong != "" {
		x.values = x.values[:start]
		return err == nil && x.refuse(refused, string(key), "the header %.80s %s", string(key), wrong), err
	}
	x.spent += max(spent, len(key))
	if len(*refused) > 0 {
		refused.accept(string(key))
	}
	switch set := x.values[start:len(x.values):len(x.values)]; {
	case HostOwned(key):
		x.values = x.values[:start]
	case len(set) == 0:
		delete(h, string(key))
	default:
		h[intern(key)] = set
	}
	return true, nil
}

// names lists the names of h in order.
func (x *Exchange) names(h http.Header) []string {
	x.list = x.list[:0]
	for name := range h {
		x.list = append(x.list, name)
	}
	return sorted(x.list)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
