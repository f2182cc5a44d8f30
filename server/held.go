package server

import (
	"context"
	"net/http"
	"time"

	"github.com/terrane/terrane/internal/conns"
	"github.com/terrane/terrane/server/internal/share"
)

// smallBody is the largest body that counts against nothing: about as much as the
// connection of a request takes in any case, and as much as net/http buffers.
const smallBody = 4 << 10

// writeChunk is how much of a counted answer is written at a time, so that progress is seen.
const writeChunk = 64 << 10

// register makes the visit's transfers subject to the least rates of a pool.
func (v *visit) register(p *share.Pool) {
	if v.share != nil {
		return
	}
	v.share = p.Hold(v.owner(), v.abandon)
	if v.placed {
		v.share.SetPlaced()
	}
}

// owner is for whom the visit holds something.
func (v *visit) owner() share.Owner {
	return share.Owner{Tenant: v.place.release.id, Network: conns.NetworkOf(v.client())}
}

// hopeless refuses a request whose answer would be refused, as that of one like it was, for what
// the visitor's network holds. So a network at its share costs no more guests.
func (v *visit) hopeless() bool {
	o, p := v.owner(), v.srv.bodies
	v.kind = p.Kind(o, v.guest.Module, v.r.Method, v.r.URL.Path)
	if !p.Hopeless(o, v.kind, v.held) {
		return false
	}
	v.noRoom()
	return true
}

func (v *visit) noRoom() {
	v.retryLater(http.StatusServiceUnavailable, "buffers", "this edge holds as many bodies as it may")
}

// hold takes n bytes for the time of the visit, or refuses the request.
func (v *visit) hold(ctx context.Context, n int64) bool {
	v.register(v.srv.bodies)
	if !v.share.Take(ctx, n) {
		v.noRoom()
		return false
	}
	v.held += n
	return true
}

// holdFile takes a descriptor for the time of the visit, or refuses the request.
func (v *visit) holdFile(ctx context.Context) bool {
	v.register(v.srv.files)
	if !v.share.Take(ctx, 1) {
		v.retryLater(http.StatusServiceUnavailable, "files", "this edge has as many files open as it may")
		return false
	}
	return true
}

// takePlace takes one of the tenant's places until the end of the visit, or refuses the request.
// A visitor who takes an answer too slowly loses the place to it.
func (v *visit) takePlace(ctx context.Context, places int) bool {
	for !v.place.site.enter(places) {
		if !v.srv.bodies.FreePlace(ctx, v.place.release.id) {
			v.retryLater(http.StatusServiceUnavailable, "concurrency", "this site has as many requests in flight as it may")
			return false
		}
	}
	v.placed = true
	if v.share != nil {
		v.share.SetPlaced()
	}
	return true
}

// abandon ends a transfer that is too slow; it is called from other goroutines, before the end
// of the visit. With force, and where even frames of HTTP/2 do not get through, it ends the connection.
func (v *visit) abandon(d share.Direction, force bool) {
	past, control := time.Unix(1, 0), http.NewResponseController(v.ResponseWriter)
	switch {
	case v.conn != nil && (force || v.conn.Stuck()):
		v.conn.Drop()
	case d == share.Reading:
		_ = control.SetReadDeadline(past) // it fails for connections that are closed
	default:
		_ = control.SetWriteDeadline(past) // likewise
	}
}

// letGo gives back what the visit holds.
func (v *visit) letGo() {
	if v.placed {
		v.place.site.leave()
	}
	if v.share != nil && v.share.End() {
		v.srv.metrics.abandoned.Inc()
		v.note = "abandoned: the visitor was too slow"
	}
}

// sweep abandons slow transfers until ctx ends.
func (s *Server) sweep(ctx context.Context) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-every.C:
			s.bodies.Sweep(now)
			s.files.Sweep(now)
		}
	}
}
