package hostcalls

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"

	"github.com/terrane/terrane/hostcalls/guestmem"
)

func initMM(_ context.Context, x *Exchange, _ Guest, a args) error {
	x.mm.Use(a.U32(0)) // the host frees nothing, so that free, a[1], is not used
	return nil
}

func panicHook(_ context.Context, x *Exchange, g Guest, a args) error {
	msg, err := a.Bytes(g, 0, "message")
	if err != nil {
		return err
	}
	x.panic = string(msg[:min(len(msg), LogLineMax)])
	x.log(slog.LevelError, x.panic)
	return nil
}

func debug(_ context.Context, x *Exchange, g Guest, a args) error {
	msg, err := a.Text(g, 0, LogLineMax, "message")
	if err != nil {
		return err
	}
	if x.logs() {
		x.log(slog.LevelDebug, string(msg))
	}
	return nil
}

func rngNextU64(_ context.Context, x *Exchange, _ Guest, a args) error {
	if _, err := rand.Read(x.random[:]); err != nil {
		return err
	}
	a[0] = binary.LittleEndian.Uint64(x.random[:])
	return nil
}

// timeNow writes no nanoseconds to the place 0.
func timeNow(_ context.Context, _ *Exchange, g Guest, a args) error {
	now := time.Now()
	if place := a.U32(0); place != 0 {
		if _, err := guestmem.View(g, place, 4, "nanoseconds"); err != nil {
			return err
		}
		guestmem.PutU32(g, place, uint32(now.Nanosecond()))
	}
	a[0] = uint64(now.Unix())
	return nil
}

// The bounds of a DNS message over TCP, and of a name as text.
const (
	maxDNSMessage = 64<<10 - 1
	maxDNSName    = 254
)

var errNoResolver = errors.New("names are not resolved here")

func dnsQueryRaw(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	query, err := a.Bytes(g, 2, "query")
	if err != nil {
		return err
	}
	answer := x.queryDNS(ctx, query)
	if err := ctx.Err(); err != nil {
		return err
	}
	err = guestmem.Give(ctx, &x.mm, g, o, answer)
	a.ReturnBool(len(answer) > 0)
	return err
}

// queryDNS forwards a DNS message, and returns nil if there is no answer.
func (x *Exchange) queryDNS(ctx context.Context, query []byte) []byte {
	if len(query) > maxDNSMessage {
		x.fail("dns query: a message of %d bytes, more than %d", len(query), maxDNSMessage)
		return nil
	}
	if !x.mayResolve() {
		return nil
	}
	answer, err := x.t.Resolver.Query(ctx, bytes.Clone(query))
	if err != nil {
		x.fail("dns query: %v", err)
		return nil
	}
	return answer
}

// mayResolve counts a DNS query as a subrequest.
func (x *Exchange) mayResolve() bool {
	switch {
	case x.t.Resolver == nil:
		x.fail("dns query: %v", errNoResolver)
		return false
	case x.sent >= x.t.maxSent():
		x.fail("dns query: more than %d subrequests", x.t.maxSent())
		return false
	}
	x.sent++
	return true
}

func dnsQueryIP(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	name, err := a.Bytes(g, 2, "name")
	if err != nil {
		return err
	}
	addresses := x.lookupIP(ctx, name, a.U32(4) != 0)
	if err := ctx.Err(); err != nil {
		return err
	}
	err = guestmem.GiveList(ctx, &x.mm, g, o, addresses, false)
	a.ReturnBool(len(addresses) > 0)
	return err
}

// lookupIP resolves a name to addresses of 4 or 16 bytes.
func (x *Exchange) lookupIP(ctx context.Context, name []byte, ipv6 bool) []string {
	if len(name) == 0 || len(name) > maxDNSName {
		x.fail("dns query: %d bytes are no name", len(name))
		return nil
	}
	if !x.mayResolve() {
		return nil
	}
	found, err := x.t.Resolver.LookupIP(ctx, string(name), ipv6)
	if err != nil {
		x.fail("dns query: %v", err)
		return nil
	}
	x.list = x.list[:0]
	for _, ip := range found {
		if ip = ip.Unmap(); ip.Is6() == ipv6 {
			x.list = append(x.list, string(ip.AsSlice()))
		}
	}
	return x.list
}

func giveText(of func(*Exchange) string) impl {
	return func(ctx context.Context, x *Exchange, g Guest, a args) error {
		o, err := a.Out(g)
		if err != nil {
			return err
		}
		return guestmem.Give(ctx, &x.mm, g, o, of(x))
	}
}

func envGet(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	name, err := a.Bytes(g, 2, "name")
	if err != nil {
		return err
	}
	value, ok := x.t.Env[string(name)]
	return guestmem.GiveFound(ctx, &x.mm, g, a, o, value, ok)
}

func logLine(_ context.Context, x *Exchange, g Guest, a args) error {
	msg, err := a.Text(g, 1, LogLineMax, "message")
	if err != nil {
		return err
	}
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	if !x.logs() {
		return nil
	}
	x.log(levels[min(a.U32(0), uint32(len(levels)-1))], string(msg))
	return nil
}
