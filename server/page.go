package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/terrane/terrane/server/internal/regions"
	"github.com/terrane/terrane/tenant"
)

// page answers with the status and a text for people. reason never tells of a
// guest's inside.
func (v *visit) page(code int, reason string) {
	if v.note == "" {
		v.note = reason
	}
	v.own = true
	h := v.Header()
	body := strconv.Itoa(code) + " " + http.StatusText(code) + "\n\n" + reason + "\n\nrequest " + v.id + "\n"
	delete(h, "Content-Encoding") // of a file that is not sent after all
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	h["X-Content-Type-Options"] = []string{"nosniff"} // reason may hold a visitor's own words
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	v.WriteHeader(code)
	_, _ = v.Write([]byte(body)) // a visitor who has left is no error
}

// retryLater refuses a request that may succeed in a moment.
func (v *visit) retryLater(code int, why, reason string) {
	v.srv.metrics.rejected(why)
	v.refused = !v.ran
	v.Header()["Retry-After"] = []string{"1"}
	if v.refused && v.forwarded && code == http.StatusServiceUnavailable {
		v.Header()[regions.NotBegun] = []string{"1"}
	}
	v.page(code, reason)
}

// nothingHere tells the owner of a domain that leads to no site why.
func (v *visit) nothingHere() {
	if v.place.verdict.Standing == tenant.Unknown {
		v.Header()["Retry-After"] = []string{"5"}
		v.page(http.StatusServiceUnavailable, "the DNS of "+string(v.host)+" cannot be checked now: "+v.place.problem)
		return
	}
	v.page(http.StatusNotFound, "no site is shown for "+string(v.host)+": "+v.place.problem)
}

// statusLeft is the access log's status for a visitor who left before the answer.
const statusLeft = 499

// cutOff ends a request whose ctx did: its visitor has left, or the edge does.
func (v *visit) cutOff(ctx context.Context) {
	if errors.Is(context.Cause(ctx), errShutDown) {
		v.page(http.StatusServiceUnavailable, errShutDown.Error())
		return
	}
	v.page(http.StatusServiceUnavailable, "the visitor has left") // net/http would say 200
	v.code = statusLeft
}

// redirect sends the visitor elsewhere. What no URL has, such as UTF-8 that a tenant or the
// visitor wrote, is percent-encoded.
func (v *visit) redirect(code int, to string) {
	v.Header()["Location"] = []string{asciiURL(to)}
	v.Header()["Content-Length"] = []string{"0"}
	v.WriteHeader(code)
}

func asciiURL(s string) string {
	bad := func(c byte) bool { return c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 }
	var b strings.Builder
	from := 0
	for i := range len(s) {
		if bad(s[i]) {
			fmt.Fprintf(&b, "%s%%%02X", s[from:i], s[i])
			from = i + 1
		}
	}
	if from == 0 {
		return s
	}
	return b.String() + s[from:]
}

// brief makes an error response one that no cache stores for long and that is displayed,
// not saved, whatever the rules say of its page.
func brief(h http.Header) {
	control := "no-cache"
	if strings.Contains(strings.ToLower(strings.Join(h["Cache-Control"], ",")), "no-store") {
		control = "no-store"
	}
	for name := range h {
		switch name {
		case "Age", "Content-Disposition", "Edge-Control", "Expires", "Pragma", "Surrogate-Control", "X-Accel-Expires":
			delete(h, name)
		default:
			if strings.HasSuffix(name, "Cache-Control") { // of one CDN or of all
				delete(h, name)
			}
		}
	}
	h["Cache-Control"] = []string{control}
}
