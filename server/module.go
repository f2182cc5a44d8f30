package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/field"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/server/internal/deadline"
	"github.com/terrane/terrane/server/internal/modules"
	"github.com/terrane/terrane/tenant"
)

// module runs the module at t and answers what it answers.
func (v *visit) module(ctx context.Context, t tenant.Target) {
	r := v.place.release
	m := r.modules[t.File]
	if m == nil {
		v.note = "no module " + t.File
		v.page(http.StatusInternalServerError, "this edge failed to answer")
		return
	}
	if !v.readBody(ctx, r.limits.RequestBody) {
		return
	}
	v.guest = hostcalls.Request{
		ID: v.id, Method: v.r.Method, Path: v.requestURI(), Header: v.r.Header, Host: v.r.Host, Body: slices.Clip(v.body), Trailer: v.r.Trailer,
		Client: v.client(), Scheme: v.scheme(), Module: t.File, Info: t.Info,
		Stream: v.stream,
	}
	if v.task != nil {
		v.guest.Hops = v.task.Hops
	}
	x := hostcalls.NewExchange(r.guest, &v.guest)
	defer x.Close()
	if v.hopeless() || !v.takePlace(ctx, r.limits.Concurrency) {
		return
	}
	v.ran = true
	err := v.run(ctx, m, x, r)
	if errors.Is(err, engine.ErrNoRoom) {
		v.ran = false
		v.retryLater(http.StatusServiceUnavailable, "memory", "this edge has no memory free for another guest")
		v.logTenant(r, v.guest.Module+" at revision "+r.revision.Short()+" did not run, answered 503: "+err.Error())
		return
	}
	if err != nil {
		v.failed(ctx, r, x, err)
		return
	}
	resp := x.Response()
	if err := x.Refused(); err != nil {
		v.unfit(r, err)
		return
	}
	if why := x.Unavailable(); why != nil && resp.Code == http.StatusInternalServerError {
		v.later(r, resp, why)
	}
	if !v.streaming {
		v.respond(ctx, resp)
	}
	v.trailer(resp)
}

// trailer sends what follows the body of a response.
func (v *visit) trailer(resp *hostcalls.Response) {
	h := v.Header()
	for name, values := range resp.Trailer {
		if !field.HostOwned(name) && !ofEdges(name) {
			h[http.TrailerPrefix+name] = values
		}
	}
}

// laterSeconds is what a visitor is told to wait for state that cannot be reached: most
// elections of a leader take no longer.
const laterSeconds = "5"

// later makes the error of a guest that could not reach its state one that says so.
func (v *visit) later(r *release, resp *hostcalls.Response, why error) {
	resp.Code = http.StatusServiceUnavailable
	if resp.Header.Get("Retry-After") == "" {
		resp.Header.Set("Retry-After", laterSeconds)
	}
	v.logTenant(r, v.guest.Module+" at revision "+r.revision.Short()+" answered 500, sent as 503: "+why.Error())
}

// unfit answers for a guest whose answer, or a part of it, the host refused.
func (v *visit) unfit(r *release, err error) {
	v.note, v.broken = "the guest's answer was refused", v.streaming
	if !v.broken {
		v.page(http.StatusInternalServerError, "this site failed to answer")
	}
	v.logTenant(r, v.guest.Module+" at revision "+r.revision.Short()+" answered "+strconv.Itoa(v.code)+": "+err.Error())
}

func (v *visit) run(ctx context.Context, m *modules.Module, x *hostcalls.Exchange, r *release) error {
	v.ends = time.Now().Add(r.wall())
	d := deadline.New(ctx, v.ends)
	defer d.End()
	return v.srv.opts.Sites.modules.Run(d, m, x) //nolint:contextcheck // d is ctx with an end
}

func (v *visit) scheme() string {
	if v.r.TLS != nil {
		return "https"
	}
	return "http"
}

// respond sends the guest's answer.
func (v *visit) respond(ctx context.Context, resp *hostcalls.Response) {
	size := int64(len(resp.Body))
	found := size <= smallBody || v.hold(ctx, size)
	if v.srv.bodies.Learn(v.kind, size, found); !found {
		return
	}
	h := v.Header()
	h["Content-Type"] = nil // not guessed by net/http, unless the guest has set one
	v.copyHeader(h, resp.Header, strconv.FormatInt(size, 10))
	if !bodyAllowed(resp.Code) || resp.Trailer != nil { // a trailer follows a body in chunks
		delete(h, "Content-Length")
	}
	if !bodyAllowed(resp.Code) {
		v.WriteHeader(resp.Code)
		return
	}
	v.writeDeadline(size)
	v.WriteHeader(resp.Code)
	if v.r.Method != http.MethodHead {
		_, _ = v.Write(resp.Body) // a visitor who has left is no error
	}
}

// copyHeader copies the guest's header into h, and adds our own. The values are
// copied too: net/http may write them after the exchange is closed and reused.
func (v *visit) copyHeader(h, guest http.Header, length string) {
	n := 2
	for _, values := range guest {
		n += len(values)
	}
	all := make([]string, 0, n)
	for name, values := range guest {
		if field.HostOwned(name) || ofEdges(name) {
			continue
		}
		from := len(all)
		all = append(all, values...)
		h[name] = all[from:len(all):len(all)]
	}
	from := len(all)
	all = append(all, v.id, length)
	h["Terrane-Request-Id"] = all[from : from+1 : from+1]
	h["Content-Length"] = all[from+1:]
}

// ofEdges reports whether edges alone set the header, in requests and in responses. Programs
// may take an underscore in its name for a dash.
func ofEdges(name string) bool {
	const prefix = "terrane"
	return len(name) > len(prefix) && (name[len(prefix)] == '-' || name[len(prefix)] == '_') && strings.EqualFold(name[:len(prefix)], prefix)
}

func bodyAllowed(code int) bool {
	return code >= 200 && code != http.StatusNoContent && code != http.StatusNotModified
}

// failed answers for a guest that did not, and tells the tenant why.
func (v *visit) failed(ctx context.Context, r *release, x *hostcalls.Exchange, err error) {
	trap, ok := errors.AsType[*engine.Trap](err)
	if !ok {
		v.note, v.broken = err.Error(), v.streaming
		v.srv.log.Error("run module", "tenant", r.id, "host", v.host, "revision", r.revision, "request", v.id, "module", v.guest.Module, "err", err)
		if !v.broken {
			v.page(http.StatusInternalServerError, "this edge failed to answer")
		}
		return
	}
	if ctx.Err() != nil && !v.streaming {
		v.cutOff(ctx)
		return
	}
	v.srv.metrics.trapped(trap.Kind)
	v.note = "guest trapped"
	v.tellTenant(r, x, trap)
	if v.streaming {
		v.broken = true
		return
	}
	if x.Unavailable() != nil {
		v.Header()["Retry-After"] = []string{laterSeconds}
		v.page(http.StatusServiceUnavailable, "what this site keeps cannot be reached now")
		return
	}
	switch trap.Kind {
	case engine.TrapDeadline:
		v.page(http.StatusGatewayTimeout, "this site took too long to answer")
	case engine.TrapMemory:
		v.page(http.StatusServiceUnavailable, "this site ran out of memory")
	default:
		v.page(http.StatusInternalServerError, "this site failed to answer")
	}
}

// tellTenant writes the trap to the tenant's log and, shortened, to the edge's.
func (v *visit) tellTenant(r *release, x *hostcalls.Exchange, trap *engine.Trap) {
	v.srv.log.Info("guest trapped", "tenant", r.id, "host", v.host, "revision", r.revision.Short(), "request", v.id,
		"module", v.guest.Module, "reason", trap.Reason)
	var text strings.Builder
	text.WriteString(v.guest.Module + " at revision " + r.revision.Short() + " trapped: " + trap.Reason)
	if p := x.Panic(); p != "" {
		text.WriteString(": panic: " + strconv.Quote(p))
	}
	for _, frame := range trap.Backtrace {
		text.WriteString("; at " + frame)
	}
	v.logTenant(r, text.String())
}

// logTenant writes an error to the tenant's log, whatever the guest has logged already.
func (v *visit) logTenant(r *release, line string) {
	if r.guest.Logger == nil {
		return
	}
	line = strings.ReplaceAll(line, "\n", " ") // names of functions are the guest's
	r.guest.Logger.Log(&v.guest, slog.LevelError, strings.ToValidUTF8(line[:min(len(line), hostcalls.LogLineMax)], "\uFFFD"))
}
