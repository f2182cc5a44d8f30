package http

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// name is the name of a field.
type name struct {
	lower     string // as guests see it
	canonical string // as package net/http keeps it
	forbidden bool
}

type field struct {
	*name
	value string
}

// fields is the resource of that name.
type fields struct {
	p         *part
	list      []field
	immutable bool
}

// Drop implements abi.Resource.
func (*fields) Drop() {}

// The cases of header-error.
const (
	invalidSyntax = iota
	forbidden
	immutable
)

// maxFields is how many bytes of names and values a request may put into fields, over all of them,
// each value counted with fieldCost more.
const (
	maxFields = 2 << 20
	fieldCost = 64
)

var errFields = errors.New("more than 2 MiB in the fields of one request")

// spend counts a field.
func (p *part) spend(n int) error {
	if p.spent += n + fieldCost; p.spent > maxFields {
		return errFields
	}
	return nil
}

// isForbidden reports whether the host alone sets the field, which speaks of the connection. The
// list is that of Wasmtime without host: guests see host in requests as they come, and must be
// able to pass on what they see. Content-Length is checked against the body.
func isForbidden(lower string) bool {
	switch lower {
	case "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings":
		return true
	}
	return false
}

func tokenByte(c byte) bool {
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	}
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isToken(b []byte) bool {
	return len(b) > 0 && !slices.ContainsFunc(b, func(c byte) bool { return !tokenByte(c) })
}

// validValue reports whether b may be a field's value (RFC 9110 5.5).
func validValue(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

const (
	maxNames   = 256 // kept from request to request
	maxValues  = 256
	shortName  = 64
	shortValue = 64
)

// nameOf returns the name that b spells, nil if it is none. Names are kept for later requests
// of the same tenant, as are short values, so that a request that sets what the one before has
// set allocates nothing.
func (p *part) nameOf(b []byte) *name {
	if n := p.names[string(b)]; n != nil {
		return n
	}
	if !isToken(b) {
		return nil
	}
	n := &name{lower: string(bytes.ToLower(b))}
	n.canonical, n.forbidden = canonical(n.lower), isForbidden(n.lower)
	if len(b) <= shortName && len(p.names) < maxNames {
		p.names[string(b)] = n
	}
	return n
}

func (p *part) valueOf(b []byte) string {
	if v, ok := p.values[string(b)]; ok {
		return v
	}
	v := string(b)
	if len(v) <= shortValue && len(p.values) < maxValues {
		p.values[v] = v
	}
	return v
}

// canonical is a name in lower case as net/http writes it.
func canonical(lower string) string {
	b := []byte(lower)
	upper := true
	for i, c := range b {
		if upper && 'a' <= c && c <= 'z' {
			b[i] = c - 'a' + 'A'
		}
		upper = c == '-'
	}
	return string(b)
}

// newFields returns fields that last until the end of the request.
func (p *part) newFields() *fields { return p.fields.next() }

func (f *fields) reset(p *part) {
	clear(f.list)
	*f = fields{p: p, list: f.list[:0]}
}

func (f *fields) add(n *name, value string) error {
	f.list = append(f.list, field{n, value})
	return f.p.spend(len(n.lower) + len(value))
}

func (f *fields) remove(n *name) {
	f.list = slices.DeleteFunc(f.list, func(have field) bool { return have.lower == n.lower })
}

// first is the value of a field, if there is one.
func (f *fields) first(lower string) (string, bool) {
	for i := range f.list {
		if f.list[i].lower == lower {
			return f.list[i].value, true
		}
	}
	return "", false
}

// writable reads the name in core parameter i, for a function that changes f. fault is a case of
// header-error, or -1. immutability is judged by the caller.
func (f *fields) writable(c *abi.Call, i int) (n *name, fault int, err error) {
	b, err := c.Text(i)
	if err != nil {
		return nil, 0, err
	}
	n = f.p.nameOf(b)
	switch {
	case n == nil:
		return nil, invalidSyntax, nil
	case n.forbidden:
		return nil, forbidden, nil
	}
	return n, -1, nil
}

func self(c *abi.Call) (*fields, error) { return abi.Lent[*fields](c, 0) }

func fieldsNew(_ context.Context, c *abi.Call) error {
	return c.ReturnNew(partOf(c.State).newFields(), 0)
}

func fieldsFromList(_ context.Context, c *abi.Call) error {
	items, err := c.Items(0, 0)
	if err != nil {
		return err
	}
	p := partOf(c.State)
	f := p.newFields()
	for i := range items.Len() {
		entry := items.At(i)
		b, err := entry.Field(0).Text()
		if err != nil {
			return err
		}
		value, err := entry.Field(1).Bytes()
		if err != nil {
			return err
		}
		n := p.nameOf(b)
		switch {
		case n == nil || !validValue(value):
			return c.Fail(invalidSyntax)
		case n.forbidden:
			return c.Fail(forbidden)
		}
		if err := f.addBytes(n, value); err != nil {
			return err
		}
	}
	return c.Ok().New(f, 0)
}

// addBytes is add, which counts the value before it is copied.
func (f *fields) addBytes(n *name, value []byte) error {
	if err := f.p.spend(len(n.lower) + len(value)); err != nil {
		return err
	}
	f.list = append(f.list, field{n, f.p.valueOf(value)})
	return nil
}

func fieldsGet(_ context.Context, c *abi.Call) error {
	f, err := self(c)
	if err != nil {
		return err
	}
	b, err := c.Text(1)
	if err != nil {
		return err
	}
	n, found := f.p.nameOf(b), 0
	for i := range f.list {
		if n != nil && f.list[i].lower == n.lower {
			found++
		}
	}
	list := c.Result().List(found)
	found = 0
	for i := range f.list {
		if n != nil && f.list[i].lower == n.lower {
			list.At(found).Raw(f.list[i].value)
			found++
		}
	}
	return nil
}

func fieldsHas(_ context.Context, c *abi.Call) error {
	f, err := self(c)
	if err != nil {
		return err
	}
	b, err := c.Text(1)
	if err != nil {
		return err
	}
	n := f.p.nameOf(b)
	if n == nil {
		return c.ReturnBool(false)
	}
	_, found := f.first(n.lower)
	return c.ReturnBool(found)
}

func fieldsSet(_ context.Context, c *abi.Call) error {
	f, err := self(c)
	if err != nil {
		return err
	}
	items, err := c.Items(3, 2)
	if err != nil {
		return err
	}
	n, fault, err := f.writable(c, 1)
	if err != nil {
		return err
	}
	if fault < 0 && f.immutable {
		fault = immutable
	}
	if fault >= 0 {
		return c.Fail(fault)
	}
	for i := range items.Len() {
		v, err := items.At(i).Bytes()
		if err != nil {
			return err
		}
		if !validValue(v) {
			return c.Fail(invalidSyntax)
		}
		if err := f.p.spend(len(v)); err != nil { // also for each look at it
			return err
		}
	}
	f.remove(n)
	for i := range items.Len() {
		v, err := items.At(i).Bytes()
		if err != nil {
			return err
		}
		f.list = append(f.list, field{n, f.p.valueOf(v)})
	}
	c.Ok()
	return nil
}

func fieldsDelete(_ context.Context, c *abi.Call) error {
	f, err := self(c)
	if err != nil {
		return err
	}
	n, fault, err := f.writable(c, 1)
	if err != nil {
		return err
	}
	if fault < 0 && f.immutable {
		fault = immutable
	}
	if fault >= 0 {
		return c.Fail(fault)
	}
	f.remove(n)
	c.Ok()
	return nil
}

func fieldsAppend(_ context.Context, c *abi.Call) error {
	f, err := self(c)
	if err != nil {
		return err
	}
	value, err := c.Bytes(3)
	if err != nil {
		return err
	}
	n, fault, err := f.writable(c, 1)
	if err != nil {
		return err
	}
	switch {
	case fault >= 0:
	case !validValue(value):
		fault = invalidSyntax
	case f.immutable:
		fault = immutable
	}
	if fault >= 0 {
		return c.Fail(fault)
	}
	if err := f.addBytes(n, value); err != nil {
		return err
	}
	c.Ok()
	return nil
}

func fieldsEntries(_ context.Context, c *abi.Call) error {
	f, err := self(c)
	if err != nil {
		return err
	}
	list := c.Result().List(len(f.list))
	for i := range f.list {
		entry := list.At(i)
		entry.Field(0).Text(f.list[i].lower)
		entry.Field(1).Raw(f.list[i].value)
	}
	return nil
}

func fieldsClone(_ context.Context, c *abi.Call) error {
	f, err := self(c)
	if err != nil {
		return err
	}
	copied := f.p.newFields()
	for _, have := range f.list {
		if err := copied.add(have.name, have.value); err != nil {
			return err
		}
	}
	return c.ReturnNew(copied, 0)
}

// sort orders fields by name.
func (f *fields) sort() {
	slices.SortStableFunc(f.list, func(a, b field) int { return strings.Compare(a.lower, b.lower) })
}

// header is a copy of the fields as package net/http keeps them.
func (f *fields) header() http.Header {
	h := make(http.Header, len(f.list))
	for _, line := range f.list {
		h[line.canonical] = append(h[line.canonical], line.value)
	}
	return h
}
