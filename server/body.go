package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/terrane/terrane/server/internal/share"
)

// keepBuffer is the largest body whose buffer a visit keeps for the next one; the buffer has
// one byte more, for the read that finds the end.
const keepBuffer = 64 << 10

// bodyTime is how long a body may take of the length that the visitor tells; -1 if
// it does not.
func (s *Server) bodyTime(length int64) time.Duration {
	most := s.opts.Sites.opts.Limits.RequestBody
	if most <= 0 {
		most = defaultRequestBody
	}
	if length < 0 || length > most {
		length = most
	}
	return transferTime(s.opts.BodyTimeout, length)
}

// readBody reads the request's body, of at most limit bytes, into v.body. When it
// cannot, it has answered.
func (v *visit) readBody(ctx context.Context, limit int64) bool {
	v.body = v.body[:0]
	if v.r.Body == http.NoBody || v.r.ContentLength == 0 {
		return true
	}
	if limit <= 0 {
		limit = defaultRequestBody
	}
	if v.r.ContentLength > limit {
		v.tooLarge(limit)
		return false
	}
	if n := v.r.ContentLength; (n < 0 || n > smallBody) && !v.hold(ctx, max(smallBody, int64(cap(v.body)))) {
		return false
	}
	for {
		if len(v.body) == cap(v.body) && !v.growBody(ctx, limit) {
			return false
		}
		n, err := v.readPart(v.body[len(v.body):cap(v.body)])
		v.body = v.body[:len(v.body)+n]
		if int64(len(v.body)) > limit {
			v.tooLarge(limit)
			return false
		}
		if errors.Is(err, io.EOF) {
			v.bodyDeadline(time.Time{})
			return true
		}
		if err != nil {
			v.badBody(ctx, err)
			return false
		}
	}
}

const defaultRequestBody = 10 << 20

func (v *visit) readPart(b []byte) (int, error) {
	if v.share == nil {
		return v.r.Body.Read(b)
	}
	v.share.Begin(share.Reading)
	n, err := v.r.Body.Read(b)
	v.share.Done(n)
	return n, err
}

// growBody doubles the buffer, to at most one byte more than the limit. One that a visit keeps is
// made at once.
func (v *visit) growBody(ctx context.Context, limit int64) bool {
	size := max(4<<10, 2*int64(cap(v.body)))
	if n := v.r.ContentLength; n > 0 && n < max(size, keepBuffer+1) {
		size = max(n+1, int64(cap(v.body))+1) // + 1: room for the read that finds the end
	}
	size = min(size, max(limit, keepBuffer)+1)
	if v.held > 0 && size > v.held && !v.hold(ctx, size-v.held) {
		return false
	}
	grown := make([]byte, len(v.body), size)
	copy(grown, v.body)
	v.body = grown
	return true
}

// closeAfter ends a connection on which nobody knows where the next request begins.
// HTTP/2 always knows.
func (v *visit) closeAfter() {
	if v.r.ProtoMajor == 1 {
		v.Header()["Connection"] = []string{"close"}
	}
}

func (v *visit) tooLarge(limit int64) {
	v.closeAfter()
	v.page(http.StatusRequestEntityTooLarge, "the body is too large: this site takes at most "+strconv.FormatInt(limit, 10)+" bytes")
}

func (v *visit) badBody(ctx context.Context, err error) {
	v.closeAfter()
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		v.page(http.StatusRequestTimeout, "the body came too slowly")
		return
	}
	if ctx.Err() != nil {
		v.cutOff(ctx)
		return
	}
	v.note = err.Error()
	v.page(http.StatusBadRequest, "the body cannot be read")
}
