package abi

import (
	"errors"

	"github.com/terrane/terrane/hostcalls"
)

// State is what a component's host keeps for one request. It belongs to the request's
// goroutine. States are used again for requests of the same tenant.
type State struct {
	X *hostcalls.Exchange

	call   Call
	parts  [partCount]Part
	table  table
	blocks blocks
	texts  texts
	wake   chan struct{}
}

// PartID names a Part.
type PartID uint8

// The parts that a State can have.
const (
	PartHTTP PartID = iota
	PartCLI
	PartFilesystem
	PartSockets
	PartKeyValue
	PartIO
	partCount
)

// Part is what one interface keeps for a request, in addition to its handles.
type Part interface {
	// Idle is called when the guest is about to wait.
	Idle()
	// Answer completes the response; the guest has returned.
	Answer()
	// Close ends what goes on for the request, and makes the part ready for another one.
	Close()
}

// Of returns the State of x.
func Of(x *hostcalls.Exchange) *State {
	s := x.Extension(newState).(*State)
	s.X = x
	return s
}

func newState() hostcalls.Extension { return &State{wake: make(chan struct{}, 1)} }

// PartOf returns a part of s, which create makes when it is first asked for.
func PartOf[P Part](s *State, id PartID, create func(*State) P) P {
	p, ok := s.parts[id].(P)
	if !ok {
		p = create(s)
		s.parts[id] = p
	}
	return p
}

// Idle tells the parts that the guest is about to wait.
func (s *State) Idle() {
	for _, p := range s.parts {
		if p != nil {
			p.Idle()
		}
	}
}

// Answer implements hostcalls.Extension.
func (s *State) Answer() {
	for _, p := range s.parts {
		if p != nil {
			p.Answer()
		}
	}
}

// Close implements hostcalls.Extension.
func (s *State) Close() {
	s.table.close()
	for _, p := range s.parts {
		if p != nil {
			p.Close()
		}
	}
	s.blocks.reset()
	s.call = Call{}
	s.X = nil
	select {
	case <-s.wake:
	default:
	}
}

// Wake lets a guest that waits look again at what it waits for. It may be called by any
// goroutine that Part.Close waits for.
func (s *State) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Woken receives after Wake.
func (s *State) Woken() <-chan struct{} { return s.wake }

// Resource is what a handle stands for.
type Resource interface {
	// Drop is called when the guest drops the handle, or with the end of the request.
	Drop()
}

// maxHandles bounds the handles that a request holds at a time.
const maxHandles = 4096

// table has the handles of a request: handle n is entry n-1.
type table struct {
	entries []entry
	free    uint32 // a handle whose entry is free, 0 if there is none
}

type entry struct {
	resource Resource // nil: free
	parent   uint32   // handle of the parent, 0 if there is none
	children uint32   // number of them; of a free entry the next free handle
}

func (t *table) close() {
	for i := range t.entries {
		if r := t.entries[i].resource; r != nil {
			t.entries[i].resource = nil
			r.Drop()
		}
	}
	clear(t.entries)
	t.entries, t.free = t.entries[:0], 0
}

var errHandles = errors.New("too many handles: drop those that are not used")

// Push gives r a handle, as a child of the handle parent unless that is 0.
func (s *State) Push(r Resource, parent uint32) (uint32, error) {
	t := &s.table
	h := t.free
	if h != 0 {
		t.free = t.entries[h-1].children
	} else {
		if len(t.entries) == maxHandles {
			r.Drop()
			return 0, errHandles
		}
		t.entries = append(t.entries, entry{})
		h = uint32(len(t.entries))
	}
	t.entries[h-1] = entry{resource: r, parent: parent}
	if parent != 0 {
		t.entries[parent-1].children++
	}
	return h, nil
}

var (
	errHandle   = errors.New("is no handle of this type")
	errChildren = errors.New("is dropped or passed away before resources that were made of it")
)

// Get returns what the handle h stands for.
func Get[R Resource](s *State, h uint32) (r R, err error) {
	if h != 0 && uint64(h) <= uint64(len(s.table.entries)) {
		if r, ok := s.table.entries[h-1].resource.(R); ok {
			return r, nil
		}
	}
	return r, handleError(h, errHandle)
}

// Remove takes the handle h, and returns what it stood for.
func Remove[R Resource](s *State, h uint32) (r R, err error) {
	r, err = Get[R](s, h)
	if err != nil {
		return r, err
	}
	e := &s.table.entries[h-1]
	if e.children > 0 {
		return r, handleError(h, errChildren)
	}
	if e.parent != 0 {
		s.table.entries[e.parent-1].children--
	}
	*e = entry{children: s.table.free}
	s.table.free = h
	return r, nil
}

// Children reports whether resources were made of that of the handle h, and not dropped yet.
func (s *State) Children(h uint32) bool { return s.table.entries[h-1].children > 0 }
