package githost

import (
	"context"
	"sync"
	"time"
)

const (
	maxCommands  = 16 // git commands for clients that run at a time
	eachCommands = 4  // of one pusher
	netCommands  = 8  // of one network
	maxRequests  = 128
	eachRequests = 8 // requests of one pusher that are being read, or wait
	netRequests  = 32
	netConns     = 32 // ssh connections of one network
	// Of the largest request, on disk at a time:
	maxSpooled  = 8
	eachSpooled = 2 // of one pusher
	slotWait    = 20 * time.Second
)

// lanes bound something in all and for each key.
type lanes struct {
	all  chan struct{}
	wait time.Duration // for a place

	mu sync.Mutex
	of map[string]*lane
}

type lane struct {
	places chan struct{}
	users  int
}

// key is one of those that share, and how many places it may have.
type key struct {
	name string
	most int
}

func newLanes(all int, wait time.Duration) *lanes {
	return &lanes{all: make(chan struct{}, all), wait: wait, of: map[string]*lane{}}
}

// enter takes a place of each key, then one of all. It waits for them, so that who has
// many places keeps nobody else from theirs.
func (l *lanes) enter(ctx context.Context, keys ...key) (leave func(), err error) {
	timer := time.NewTimer(l.wait)
	defer timer.Stop()
	var left []func()
	leave = sync.OnceFunc(func() {
		for _, f := range left {
			f()
		}
	})
	take := func(places chan struct{}) error {
		select {
		case places <- struct{}{}:
			left = append(left, func() { <-places })
			return nil
		default:
		}
		select {
		case places <- struct{}{}:
			left = append(left, func() { <-places })
			return nil
		case <-timer.C:
			return errBusy
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, k := range keys {
		if err := take(l.join(k)); err != nil {
			l.quit(k)
			leave()
			return nil, err
		}
		left = append(left, func() { l.quit(k) })
	}
	if err := take(l.all); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

func (l *lanes) join(k key) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[k.name] == nil {
		l.of[k.name] = &lane{places: make(chan struct{}, k.most)}
	}
	l.of[k.name].users++
	return l.of[k.name].places
}

func (l *lanes) quit(k key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[k.name].users--; l.of[k.name].users == 0 {
		delete(l.of, k.name)
	}
}

// budget bounds bytes in all and for each key.
type budget struct {
	most, each int64

	mu  sync.Mutex
	all int64
	of  map[string]int64
}

func (b *budget) take(key string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all+n > b.most || b.of[key]+n > b.each {
		return false
	}
	b.all += n
	b.of[key] += n
	return true
}

func (b *budget) give(key string, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all -= n
	if b.of[key] -= n; b.of[key] == 0 {
		delete(b.of, key)
	}
}
