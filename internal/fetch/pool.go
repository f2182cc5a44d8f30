package fetch

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/terrane/terrane/tenant"
)

const (
	maxIdle        = 256 // connections of all tenants that no request uses
	maxIdleTenant  = 64
	maxIdlePerHost = 16
	maxPools       = 1024 // tenants whose connections are kept
)

// pools hold idle connections, each for the tenant whose request made it: an upstream
// may bind to a connection who its client is, and what it still has to send.
type pools struct {
	transport func(dial dialFunc) *http.Transport
	dial      dialFunc

	mu       sync.Mutex
	byTenant map[tenant.ID]*list.Element
	used     *list.List // of *pool, the last used in front
	open     int        // connections
	requests int        // under way
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// pool is one tenant's.
type pool struct {
	of        *pools
	tenant    tenant.ID
	transport *http.Transport
	requests  int // under way
	open      int // connections
}

func newPools(dial dialFunc, transport func(dialFunc) *http.Transport) *pools {
	return &pools{transport: transport, dial: dial, byTenant: make(map[tenant.ID]*list.Element), used: list.New()}
}

// acquire returns the tenant's pool for one request, which ends by release.
func (ps *pools) acquire(id tenant.ID) *pool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	e := ps.byTenant[id]
	if e == nil {
		p := &pool{of: ps, tenant: id}
		p.transport = ps.transport(p.connect)
		e = ps.used.PushFront(p)
		ps.byTenant[id] = e
	}
	ps.used.MoveToFront(e)
	p := e.Value.(*pool)
	p.requests++
	ps.requests++
	return p
}

// release ends a request. While too many connections are idle, those of the tenant that
// has sent nothing for the longest time are closed.
func (ps *pools) release(p *pool) {
	ps.mu.Lock()
	p.requests--
	ps.requests--
	idle := ps.open - ps.requests
	var old []*pool
	for e := ps.used.Back(); e != nil && (idle > maxIdle || len(ps.byTenant) > maxPools); {
		last := e.Value.(*pool)
		before := e.Prev()
		if last.requests == 0 {
			ps.used.Remove(e)
			delete(ps.byTenant, last.tenant)
			old = append(old, last)
			idle -= last.open
		}
		e = before
	}
	ps.mu.Unlock()
	for _, p := range old {
		p.transport.CloseIdleConnections()
	}
}

func (ps *pools) close() {
	ps.mu.Lock()
	var all []*pool
	for e := ps.used.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*pool))
	}
	ps.mu.Unlock()
	for _, p := range all {
		p.transport.CloseIdleConnections()
	}
}

// connect dials, and counts the connection until it is closed.
func (p *pool) connect(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := p.of.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	p.count(1)
	return &counted{Conn: c, closed: sync.OnceFunc(func() { p.count(-1) })}, nil
}

func (p *pool) count(n int) {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.open += n
	p.of.open += n
}

// counted is a connection of a pool.
type counted struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}
