package hostcalls

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"time"
)

func initMM(_ context.Context, x *Exchange, _ Guest, a args) error {
	x.mm.malloc, x.mm.inited = a.u32(0), true // free, a[1], is the guest's own affair
	return nil
}

func panicHook(_ context.Context, x *Exchange, g Guest, a args) error {
	msg, err := a.bytes(g, 0, "message")
	if err != nil {
		return err
	}
	x.panic = string(msg[:min(len(msg), LogLineMax)])
	x.log(slog.LevelError, x.panic)
	return nil
}

// untilNUL is the length by which guests in C say that a NUL ends the text.
const untilNUL = 1<<32 - 1

func debug(_ context.Context, x *Exchange, g Guest, a args) error {
	msg, err := a.text(g, 0, "message")
	if err != nil {
		return err
	}
	if x.logs() {
		x.log(slog.LevelDebug, string(msg))
	}
	return nil
}

// text is bytes, cut to what fits a log line, with the length untilNUL understood.
func (a args) text(g Guest, i int, name string) ([]byte, error) {
	if a.u32(i+1) != untilNUL {
		msg, err := a.bytes(g, i, name)
		return msg[:min(len(msg), LogLineMax)], err
	}
	mem := g.Memory()
	if int64(a.u32(i)) >= int64(len(mem)) {
		return nil, &rangeError{name, a.u32(i), 1, len(mem)}
	}
	mem = mem[a.u32(i):]
	mem = mem[:min(len(mem), LogLineMax)]
	if end := bytes.IndexByte(mem, 0); end >= 0 {
		mem = mem[:end]
	}
	return mem, nil
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
	if place := a.u32(0); place != 0 {
		if _, err := view(g, place, 4, "nanoseconds"); err != nil {
			return err
		}
		putU32(g, place, uint32(now.Nanosecond()))
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
	o, err := a.out(g)
	if err != nil {
		return err
	}
	query, err := a.bytes(g, 2, "query")
	if err != nil {
		return err
	}
	answer := x.queryDNS(ctx, query)
	if err := ctx.Err(); err != nil {
		return err
	}
	err = give(ctx, x, g, o, answer)
	a.returnsBool(len(answer) > 0)
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
	o, err := a.out(g)
	if err != nil {
		return err
	}
	name, err := a.bytes(g, 2, "name")
	if err != nil {
		return err
	}
	addresses := x.lookupIP(ctx, name, a.u32(4) != 0)
	if err := ctx.Err(); err != nil {
		return err
	}
	err = x.giveList(ctx, g, o, addresses, false)
	a.returnsBool(len(addresses) > 0)
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
		o, err := a.out(g)
		if err != nil {
			return err
		}
		return give(ctx, x, g, o, of(x))
	}
}

func envGet(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.out(g)
	if err != nil {
		return err
	}
	name, err := a.bytes(g, 2, "name")
	if err != nil {
		return err
	}
	value, ok := x.t.Env[string(name)]
	return giveFound(ctx, x, g, a, o, value, ok)
}

func logLine(_ context.Context, x *Exchange, g Guest, a args) error {
	msg, err := a.text(g, 1, "message")
	if err != nil {
		return err
	}
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	if !x.logs() {
		return nil
	}
	x.log(levels[min(a.u32(0), uint32(len(levels)-1))], string(msg))
	return nil
}
