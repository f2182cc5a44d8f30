package latticetest

import (
	"io"
	"net"
	"sync"
)

// relay passes TCP connections on to an address that may change, until it is cut.
type relay struct {
	ln net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	to    func() string         // guarded by mu; nil or empty: nobody is there
	cut   bool                  // guarded by mu
	conns map[net.Conn]struct{} // guarded by mu
}

func newRelay() (*relay, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ends with close
	if err != nil {
		return nil, err
	}
	r := &relay{ln: ln, conns: map[net.Conn]struct{}{}}
	r.wg.Go(r.accept)
	return r, nil
}

func (r *relay) addr() string { return r.ln.Addr().String() }

func (r *relay) accept() {
	for {
		in, err := r.ln.Accept()
		if err != nil {
			return
		}
		r.wg.Go(func() { r.pass(in) })
	}
}

func (r *relay) pass(in net.Conn) {
	defer in.Close() //nolint:errcheck // the other end has seen it
	to := r.leads()
	if to == "" {
		return
	}
	out, err := net.Dial("tcp", to) //nolint:noctx // to loopback
	if err != nil {
		return
	}
	if !r.track(in, out) {
		_ = out.Close()
		return
	}
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
		wg.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_, _ = in.Close(), out.Close()
		})
	}
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, in)
	delete(r.conns, out)
}

// leads is where it leads at the moment, empty if nowhere.
func (r *relay) leads() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut || r.to == nil {
		return ""
	}
	return r.to()
}

// track notes connections for setCut; false if they come too late.
func (r *relay) track(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		return false
	}
	for _, c := range conns {
		r.conns[c] = struct{}{}
	}
	return true
}

func (r *relay) target(to func() string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

// setCut ends what passes and lets nothing more pass, or lets it again.
func (r *relay) setCut(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	for c := range r.conns {
		if cut {
			_ = c.Close()
		}
	}
}

func (r *relay) close() {
	_ = r.ln.Close()
	r.setCut(true)
	r.wg.Wait()
}
