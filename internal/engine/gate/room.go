package gate

import (
	"context"
	"slices"
	"sync"

	"github.com/terrane/terrane/tenant"
)

// Room is for a number of guests at a time. A tenant may have as many in it as there are places
// left: one alone takes half of them, and whoever comes next always finds one. Only NewRoom
// makes one.
type Room struct {
	mu      sync.Mutex
	free    int
	held    map[tenant.ID]int
	waiting []*guest // in the order of their coming
}

type guest struct {
	of   tenant.ID
	turn chan struct{} // closed when it has a place
}

// NewRoom makes a Room with that many places.
func NewRoom(places int) *Room { return &Room{free: places, held: make(map[tenant.ID]int)} }

// Enter waits for a place, which the caller leaves, unless ctx ends before: then it returns why.
func (r *Room) Enter(ctx context.Context, of tenant.ID) error {
	r.mu.Lock()
	if r.admit(of) {
		r.mu.Unlock()
		return nil
	}
	g := &guest{of, make(chan struct{})}
	r.waiting = append(r.waiting, g)
	r.mu.Unlock()
	select {
	case <-g.turn:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.waiting, g); i >= 0 {
		r.waiting = slices.Delete(r.waiting, i, i+1)
	} else { // its turn has just come
		r.leave(of)
	}
	return context.Cause(ctx)
}

// Leave gives a place back.
func (r *Room) Leave(of tenant.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leave(of)
}

func (r *Room) admit(of tenant.ID) bool {
	if r.held[of] >= r.free {
		return false
	}
	r.free--
	r.held[of]++
	return true
}

func (r *Room) leave(of tenant.ID) {
	r.free++
	if r.held[of]--; r.held[of] == 0 {
		delete(r.held, of)
	}
	r.waiting = slices.DeleteFunc(r.waiting, func(g *guest) bool {
		admitted := r.admit(g.of)
		if admitted {
			close(g.turn)
		}
		return admitted
	})
}
