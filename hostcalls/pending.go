package hostcalls

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/terrane/terrane/hostcalls/guestmem"
)

// pending is an outbound request under way in a goroutine of its own. All fields
// but the result belong to the guest's goroutine; the result does once the
// pending has come through Exchange.finished.
type pending struct {
	request  *request
	cancel   context.CancelFunc
	response *response
	err      error
	order    int // in which it finished, from 1; 0: it has not
}

func reqSendAsync(ctx context.Context, x *Exchange, _ Guest, a args) error {
	a.Return(x.sendAsync(ctx, a.Handle(0)))
	return nil
}

// sendAsync starts a request, and returns the handle by which to wait for it.
func (x *Exchange) sendAsync(ctx context.Context, n int32) int32 {
	r := x.consume(n)
	if r == nil {
		return failed
	}
	if x.finished == nil {
		x.finished = make(chan *pending, min(x.t.maxSent(), maxHandles))
	}
	p := &pending{request: r}
	ctx, p.cancel = context.WithCancel(ctx)
	x.fetches.Go(func() {
		p.response, p.err = x.fetch(ctx, r)
		x.finished <- p
	})
	return x.newHandle(handle{pending: p})
}

// finish notes that p has come through x.finished.
func (x *Exchange) finish(p *pending) {
	x.order++
	p.order = x.order
	p.cancel()
}

// collect notes which requests have finished, without waiting.
func (x *Exchange) collect() {
	for {
		select {
		case p := <-x.finished:
			x.finish(p)
		default:
			return
		}
	}
}

// await waits until one more request has finished.
func (x *Exchange) await(ctx context.Context) error {
	select {
	case p := <-x.finished:
		x.finish(p)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take gives the response of a request that has finished its handle, and ends the
// pending's own.
func (x *Exchange) take(ctx context.Context, h *handle) (int32, error) {
	p := h.pending
	h.pending = nil
	return x.arrived(ctx, p.request, p.response, p.err)
}

func pendingReqWait(ctx context.Context, x *Exchange, _ Guest, a args) error {
	n, err := x.wait(ctx, a.Handle(0))
	a.Return(n)
	return err
}

func (x *Exchange) wait(ctx context.Context, n int32) (int32, error) {
	h := x.at(n)
	if h.pending == nil {
		x.fail("no pending request has the handle %d", n)
		return failed, nil
	}
	x.collect()
	for h.pending.order == 0 {
		if err := x.await(ctx); err != nil {
			return failed, err
		}
	}
	return x.take(ctx, h)
}

func pendingReqPoll(ctx context.Context, x *Exchange, _ Guest, a args) error {
	n, err := x.poll(ctx, a.Handle(0))
	a.Return(n)
	return err
}

func (x *Exchange) poll(ctx context.Context, n int32) (int32, error) {
	h := x.at(n)
	if h.pending != nil {
		x.collect()
		if h.pending.order == 0 {
			return notReady, ctx.Err()
		}
	}
	return x.wait(ctx, n)
}

// pendingReqSelect writes the finished pending's handle even when it fails. A
// handle that is no pending request fails at once; of no handles at all, none does.
func pendingReqSelect(ctx context.Context, x *Exchange, g Guest, a args) error {
	list, err := guestmem.Elements(g, a.U32(0), 0, a.U32(1), 4, "pending requests")
	if err != nil {
		return err
	}
	return selectTo(ctx, x, g, a, list, a.U32(2))
}

// selectTo is the select of both dialects: list holds handles, place is where the
// finished one goes.
func selectTo(ctx context.Context, x *Exchange, g Guest, a args, list []byte, place uint32) error {
	if n := len(list) / 4; n > guestmem.MaxList {
		return fmt.Errorf("pending requests: a list of %d elements, more than %d", n, guestmem.MaxList)
	}
	if _, err := guestmem.View(g, place, 4, "finished request"); err != nil {
		return err
	}
	which, resp, err := x.selectOf(ctx, list)
	guestmem.PutU32(g, place, uint32(which))
	a.Return(resp)
	return err
}

// selectOf waits for the first of the pending requests in list, which holds
// handles as little-endian 32-bit numbers.
func (x *Exchange) selectOf(ctx context.Context, list []byte) (which, resp int32, err error) {
	if len(list) == 0 {
		return failed, failed, nil
	}
	for x.collect(); ; {
		first, known := x.firstOf(list)
		if known && first == 0 {
			if err := x.await(ctx); err != nil {
				return failed, failed, err
			}
			continue
		}
		if !known {
			x.fail("no pending request has the handle %d", first)
			return first, failed, nil
		}
		resp, err := x.take(ctx, x.at(first))
		return first, resp, err
	}
}

// firstOf finds the handle in list whose request finished first, or one that
// stands for none; 0 if all are still under way.
func (x *Exchange) firstOf(list []byte) (first int32, known bool) {
	order := 0
	for ; len(list) >= 4; list = list[4:] {
		n := int32(binary.LittleEndian.Uint32(list))
		p := x.at(n).pending
		if p == nil {
			return n, false
		}
		if p.order > 0 && (order == 0 || p.order < order) {
			first, order = n, p.order
		}
	}
	return first, true
}
