package hostcalls

import (
	"context"

	"github.com/terrane/terrane/hostcalls/field"
	"github.com/terrane/terrane/hostcalls/guestmem"
)

// requestIncoming and responseOutgoing are the handles of the inbound request and
// of its response. The functions of the two never meet, so that they may be equal.
const (
	requestIncoming  = 0
	responseOutgoing = 0
)

// The two headers in which guests look for the visitor's address, in this order.
// What a visitor sends under these names is not to be believed.
const (
	clientHeader = "Fastly-Client-Ip"
	forgedHeader = "X-Fastly-Client-Ip"
	hostHeader   = "Host"
)

// clientIP is the visitor's address as text, empty if the server does not know it.
func (x *Exchange) clientIP() string {
	if x.client == "" && x.req.Client.IsValid() {
		x.client = x.req.Client.Unmap().WithZone("").String()
	}
	return x.client
}

// incomingNames lists the names of the inbound request's headers.
func (x *Exchange) incomingNames() []string {
	x.list = x.list[:0]
	known := x.req.Client.IsValid()
	for name := range x.req.Header {
		synthesised := name == hostHeader || known && (name == clientHeader || name == forgedHeader)
		if !synthesised {
			x.list = append(x.list, name)
		}
	}
	x.list = append(x.list, hostHeader)
	if known {
		x.list = append(x.list, clientHeader)
	}
	return sorted(x.list)
}

// incomingValues lists the values of one of the inbound request's headers.
func (x *Exchange) incomingValues(name []byte) []string {
	var buf [field.MaxName]byte
	key, ok := field.Canonical(&buf, name)
	if !ok {
		return nil
	}
	switch string(key) {
	case hostHeader:
		return x.one(x.req.Host)
	case clientHeader:
		if x.req.Client.IsValid() {
			return x.one(x.clientIP())
		}
	case forgedHeader:
		if x.req.Client.IsValid() {
			return nil
		}
	}
	return x.req.Header[string(key)]
}

// one is a list of one value.
func (x *Exchange) one(value string) []string {
	x.list = append(x.list[:0], value)
	return x.list
}

func reqGetHeader(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	name, err := a.Bytes(g, 3, "name")
	if err != nil {
		return err
	}
	var values []string
	if a.Handle(2) == requestIncoming {
		values = x.incomingValues(name)
	}
	return guestmem.GiveList(ctx, &x.mm, g, o, values, false)
}

func reqGetHeaders(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	var names []string
	if a.Handle(2) == requestIncoming {
		names = x.incomingNames()
	}
	return guestmem.GiveList(ctx, &x.mm, g, o, names, true)
}

func reqGetMethod(ctx context.Context, x *Exchange, g Guest, a args) error {
	return giveOf(ctx, x, g, a, x.req.Method)
}

func reqGetPath(ctx context.Context, x *Exchange, g Guest, a args) error {
	return giveOf(ctx, x, g, a, x.req.Path)
}

func reqGetBody(ctx context.Context, x *Exchange, g Guest, a args) error {
	return giveOf(ctx, x, g, a, x.req.Body)
}

// giveOf hands over a property of the inbound request, if that is the request meant.
func giveOf[T string | []byte](ctx context.Context, x *Exchange, g Guest, a args, property T) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	if a.Handle(2) != requestIncoming {
		property = property[:0]
	}
	return guestmem.Give(ctx, &x.mm, g, o, property)
}
