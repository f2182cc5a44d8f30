package dnsverify

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/terrane/terrane/tenant"
)

// errRunning is the answer to a second Run.
var errRunning = errors.New("dnsverify: already running")

const (
	saveAfterChange = 5 * time.Second
	saveAtLeast     = 10 * time.Minute // confirmations move on without a change
)

// Run refreshes verified hosts before they expire and saves the state, until ctx
// ends; then it saves once more and returns nil. It may run once at a time.
func (v *Verifier) Run(ctx context.Context) error {
	if !v.running.CompareAndSwap(false, true) {
		return errRunning
	}
	defer v.running.Store(false)
	due := make(chan tenant.Host)
	var wg sync.WaitGroup
	for range v.opt.Refreshers {
		wg.Go(func() {
			for h := range due {
				v.fly(ctx, h, nil)
			}
		})
	}
	wg.Go(func() {
		defer close(due)
		v.dispatch(ctx, due)
	})
	v.keepSaved(ctx)
	wg.Wait()
	return v.save()
}

// dispatch hands hosts to due when their time has come, until ctx ends.
func (v *Verifier) dispatch(ctx context.Context, due chan<- tenant.Host) {
	timer := time.NewTimer(time.Hour) // until the first of the queue is known
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.queue.wake:
		case <-timer.C:
		}
		for {
			now := time.Now()
			it, ok := v.queue.pop(now)
			if !ok {
				if !it.at.IsZero() {
					timer.Reset(it.at.Sub(now))
				}
				break
			}
			if !v.wantsRefresh(it, now) {
				continue
			}
			select {
			case due <- it.host:
			case <-ctx.Done():
				return
			}
		}
	}
}

// wantsRefresh reports whether a host whose time has come is looked up. One that
// nobody asks for sleeps instead, and is forgotten when it can no longer be served.
func (v *Verifier) wantsRefresh(it item, now time.Time) bool {
	e := v.known.get(it.host)
	switch {
	case e == nil:
		return false
	case e.asleep.Load():
		if end := e.confirmed.Add(v.opt.StaleFor); it.at.Equal(end) {
			v.known.remove(it.host, e)
		}
		return false
	case !e.refresh.Equal(it.at):
		return false // looked up since
	case now.Sub(time.Unix(e.used.Load(), 0)) > v.opt.IdleAfter:
		e.asleep.Store(true)
		v.queue.push(it.host, e.confirmed.Add(v.opt.StaleFor))
		return false
	}
	return true
}

// keepSaved writes the state when it has changed, until ctx ends.
func (v *Verifier) keepSaved(ctx context.Context) {
	tick := time.NewTicker(saveAfterChange)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if !v.changed.Load() && now.Sub(last) < saveAtLeast {
				continue
			}
			last = now
			if err := v.save(); err != nil {
				v.opt.Logger.Error("verified hosts not saved", "err", err)
			}
		}
	}
}

// queue holds what is to be looked up when. Items are never taken out early: one
// whose entry has changed since is dropped when its time comes.
type queue struct {
	wake chan struct{} // has room for one: the first item has changed

	mu    sync.Mutex
	items itemHeap
}

type item struct {
	host tenant.Host
	at   time.Time
}

func newQueue() queue { return queue{wake: make(chan struct{}, 1)} }

func (q *queue) push(h tenant.Host, at time.Time) {
	q.mu.Lock()
	heap.Push(&q.items, item{h, at})
	first := q.items[0].host == h
	q.mu.Unlock()
	if first {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// pop takes the first item if it is due at now; else it returns it, or the zero
// item, and leaves it.
func (q *queue) pop(now time.Time) (item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		return item{}, false
	}
	if first := q.items[0]; first.at.After(now) {
		return first, false
	}
	return heap.Pop(&q.items).(item), true
}

// itemHeap implements heap.Interface.
type itemHeap []item

func (h itemHeap) Len() int           { return len(h) }
func (h itemHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h itemHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *itemHeap) Push(x any) { *h = append(*h, x.(item)) }

// Pop implements heap.Interface.
func (h *itemHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
