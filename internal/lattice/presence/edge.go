package presence

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/terrane/terrane/tenant"
)

// Edge is what an edge says of itself.
type Edge struct {
	Name     string    `json:"name"`
	Instance string    `json:"instance"` // of its process: another after a restart
	Region   string    `json:"region,omitempty"`
	Version  string    `json:"version,omitempty"`
	Started  time.Time `json:"started,omitzero"` // by its own clock
	Ready    bool      `json:"ready"`
	Unmet    []string  `json:"unmet,omitempty"` // why it is not
	Stores   []Store   `json:"stores,omitempty"`
	Serves   []Serves  `json:"serves,omitempty"`
	Prefixes []string  `json:"prefixes,omitempty"` // announced
	Requests int       `json:"requests"`           // in flight
	Leaving  bool      `json:"leaving,omitempty"`  // this is its last word
}

// Store is how far an edge has come with a store.
type Store struct {
	Prefix  string `json:"prefix"`
	Head    string `json:"head,omitempty"` // the revision it is at
	Pending int    `json:"pending,omitempty"`
	Problem string `json:"problem,omitempty"`
}

// Serves sums up what an edge serves of a store. Edges whose sums are equal serve the same.
type Serves struct {
	Prefix  string     `json:"prefix"`
	Tenants int        `json:"tenants"`
	Sum     tenant.Sum `json:"sum"`
}

// Bounds of what one edge may say.
const (
	maxMessage = 16 << 10 // bytes
	maxList    = 32
	maxText    = 256 // bytes
)

// parse reads a peer's word; name is that of the subject it came on.
func parse(name string, data []byte) (Edge, error) {
	if len(data) > maxMessage {
		return Edge{}, fmt.Errorf("%d bytes, more than %d", len(data), maxMessage)
	}
	var e Edge
	if err := json.Unmarshal(data, &e); err != nil {
		return Edge{}, err
	}
	if e.Name != name || name == "" || len(name) > 63 {
		return Edge{}, errors.New("it speaks in another's name")
	}
	e.bound()
	return e, nil
}

// bound cuts what is too long and replaces what does not print, in copies of the lists.
func (e *Edge) bound() {
	for _, s := range []*string{&e.Instance, &e.Region, &e.Version} {
		*s = plain(*s)
	}
	e.Unmet, e.Prefixes = plainList(e.Unmet), plainList(e.Prefixes)
	e.Stores = slices.Clone(e.Stores[:min(len(e.Stores), maxList)])
	e.Serves = slices.Clone(e.Serves[:min(len(e.Serves), maxList)])
	for i := range e.Serves {
		e.Serves[i].Prefix = plain(e.Serves[i].Prefix)
	}
	for i := range e.Stores {
		s := &e.Stores[i]
		s.Prefix, s.Head, s.Problem = plain(s.Prefix), plain(s.Head), plain(s.Problem)
	}
}

func plainList(list []string) []string {
	list = slices.Clone(list[:min(len(list), maxList)])
	for i := range list {
		list[i] = plain(list[i])
	}
	return list
}

func plain(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}
