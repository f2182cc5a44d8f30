package http

import (
	"errors"
	"sync"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// part is what this package keeps for a request.
type part struct {
	s      *abi.State
	names  map[string]*name  // by every spelling that guests have used
	values map[string]string // short ones
	spent  int               // bytes put into fields

	headers   *fields // of the request, nil until asked for
	request   incomingRequest
	outparam  outparam
	fields    slab[fields, *fields]
	responses slab[outgoingResponse, *outgoingResponse]
	bodies    slab[outgoingBody, *outgoingBody]
	received  slab[incomingBody, *incomingBody]

	given bool          // the request and the outparam have their handles
	set   bool          // the response
	body  *outgoingBody // of the response that was set; nil: there is none
	lines []string      // values of the response's header

	background sync.WaitGroup // of outbound requests
}

// resettable is an element of a slab.
type resettable[T any] interface {
	*T
	reset(p *part)
}

// slab has objects that last for a request, and are used again in later ones.
type slab[T any, P resettable[T]] struct {
	p    *part
	all  []*T
	used int
}

// keepObjects is how many objects of a kind are kept for the next request.
const keepObjects = 16

func (s *slab[T, P]) next() *T {
	if s.used == len(s.all) {
		s.all = append(s.all, new(T))
	}
	o := s.all[s.used]
	s.used++
	P(o).reset(s.p)
	return o
}

func (s *slab[T, P]) end() {
	for i, o := range s.all {
		P(o).reset(s.p)
		if i >= keepObjects {
			s.all[i] = nil
		}
	}
	s.all, s.used = s.all[:min(len(s.all), keepObjects)], 0
}

func partOf(s *abi.State) *part { return abi.PartOf(s, abi.PartHTTP, newPart) }

func newPart(s *abi.State) *part {
	p := &part{s: s, names: map[string]*name{}, values: map[string]string{}}
	p.fields.p, p.responses.p, p.bodies.p, p.received.p = p, p, p, p
	return p
}

func (p *part) exchange() *hostcalls.Exchange { return p.s.X }

// Idle implements abi.Part: what the guest has written reaches the visitor before it waits.
func (p *part) Idle() {
	if p.set && p.body != nil && len(p.exchange().Reply().Body) > 0 {
		p.send()
	}
}

var (
	errNoResponse = errors.New("the component has returned without a response: response-outparam.set was not called")
	errUnfinished = errors.New("the component has returned without outgoing-body.finish: the body is not complete")
)

// Answer implements abi.Part.
func (p *part) Answer() {
	if !p.given {
		return
	}
	x := p.exchange()
	switch {
	case !p.set:
		x.Reply().Code = 500
		x.Refuse("%v", errNoResponse)
	case p.body != nil && !p.body.finished:
		p.body.abort(errUnfinished)
		x.Refuse("%v", p.body.broken)
	case p.body != nil:
		if f := p.body.trailers; f != nil {
			x.Reply().Trailer = f.header()
		}
		if x.Sent() {
			p.send()
		}
	}
}

// Close implements abi.Part.
func (p *part) Close() {
	p.background.Wait()
	p.fields.end()
	p.responses.end()
	p.bodies.end()
	p.received.end()
	clear(p.lines)
	*p = part{
		s: p.s, names: p.names, values: p.values, lines: p.lines[:0],
		fields: p.fields, responses: p.responses, bodies: p.bodies, received: p.received,
	}
}
