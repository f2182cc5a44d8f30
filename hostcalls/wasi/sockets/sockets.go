// Package sockets is wasi:sockets: names are resolved as for hostcall_dns_query_ip. Sockets cannot be
// made yet: create-tcp-socket and create-udp-socket answer not-supported, so that a
// component whose library imports sockets runs as long as it opens none.
//
// Goroutines: one for each lookup; the end of the request waits for it.
package sockets

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
	"github.com/terrane/terrane/hostcalls/wasi/stream"
)

// code is a case of error-code.
type code int

// The cases that there are reasons for here.
const (
	codeNotSupported         code = 2
	codeInvalidArgument      code = 3
	codeWouldBlock           code = 8
	codeNewSocketLimit       code = 10
	codeNameUnresolvable     code = 18
	codeTemporaryResolverErr code = 19
)

// part is what this package keeps for a request.
type part struct{ lookups sync.WaitGroup }

func partOf(s *abi.State) *part {
	return abi.PartOf(s, abi.PartSockets, func(*abi.State) *part { return &part{} })
}

// Idle implements abi.Part.
func (*part) Idle() {}

// Answer implements abi.Part.
func (*part) Answer() {}

// Close implements abi.Part.
func (p *part) Close() { p.lookups.Wait() }

// network is the resource of that name.
type network struct{}

// Drop implements abi.Resource.
func (*network) Drop() {}

func instanceNetwork(_ context.Context, c *abi.Call) error { return c.ReturnNew(&network{}, 0) }

// socket stands for the resources of which there are none.
type (
	tcpSocket        struct{ network }
	udpSocket        struct{ network }
	incomingDatagram struct{ network }
	outgoingDatagram struct{ network }
)

// create is a function that would make a socket.
func create(_ context.Context, c *abi.Call) error {
	if _, err := c.Case(0, 2); err != nil {
		return err
	}
	return c.Fail(int(codeNotSupported))
}

// of is a function of a resource of which there are none: no handle is right.
func of[R abi.Resource](_ context.Context, c *abi.Call) error {
	_, err := abi.Lent[R](c, 0)
	return err
}

// networkErrorCode finds no code: streams of sockets are not made.
func networkErrorCode(_ context.Context, c *abi.Call) error {
	if _, err := abi.Lent[*stream.Error](c, 0); err != nil {
		return err
	}
	c.Result().None()
	return nil
}

// lookup is the resource resolve-address-stream.
type lookup struct {
	cancel context.CancelFunc

	mu   sync.Mutex
	done bool
	left []netip.Addr
	err  error
}

// Drop implements abi.Resource.
func (l *lookup) Drop() { l.cancel() }

// Ready implements stream.Waiter.
func (l *lookup) Ready() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}

const maxName = 253

func resolveAddresses(ctx context.Context, c *abi.Call) error {
	if _, err := abi.Lent[*network](c, 0); err != nil {
		return err
	}
	b, err := c.Text(1)
	if err != nil {
		return err
	}
	name := string(b)
	l := &lookup{cancel: func() {}}
	if ip, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil && ip.Zone() == "" {
		l.done, l.left = true, []netip.Addr{ip}
		return c.Ok().New(l, 0)
	}
	if name == "" || len(name) > maxName || strings.ContainsAny(name, " /:@[]\x00") {
		return c.Fail(int(codeInvalidArgument))
	}
	if err := c.X.Spend(); err != nil {
		c.X.Fail("lookup of %.100q: %v", name, err)
		return c.Fail(int(codeNewSocketLimit))
	}
	ctx, l.cancel = context.WithCancel(ctx)
	x, s := c.X, c.State
	partOf(s).lookups.Go(func() {
		found, err := x.LookupIP(ctx, name)
		l.mu.Lock()
		l.done, l.left, l.err = true, found, err
		l.mu.Unlock()
		s.Wake()
	})
	return c.Ok().New(l, 0)
}

func resolveNext(_ context.Context, c *abi.Call) error {
	l, err := abi.Lent[*lookup](c, 0)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.done:
		return c.Fail(int(codeWouldBlock))
	case l.err != nil && errors.Is(l.err, context.DeadlineExceeded):
		return c.Fail(int(codeTemporaryResolverErr))
	case l.err != nil:
		return c.Fail(int(codeNameUnresolvable))
	case len(l.left) == 0:
		c.Ok().None()
		return nil
	}
	ip := l.left[0].Unmap()
	l.left = l.left[1:]
	address := c.Ok().Some()
	if ip.Is4() {
		address = address.Case(0)
		for i, part := range ip.As4() {
			address.Field(i).Put(uint64(part))
		}
		return nil
	}
	address = address.Case(1)
	b := ip.As16()
	for i := range 8 {
		address.Field(i).Put(uint64(b[2*i])<<8 | uint64(b[2*i+1]))
	}
	return nil
}

func lookupSubscribe(_ context.Context, c *abi.Call) error {
	l, err := abi.Lent[*lookup](c, 0)
	if err != nil {
		return err
	}
	return stream.Subscribe(c, l)
}
