package conns

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

type contextKey struct{}

// Context is for http.Server.ConnContext: FromContext then finds the connection of a request.
func Context(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, Of(c))
}

// FromContext is the connection of a request, nil if it came over none of a Limiter.
func FromContext(ctx context.Context) *Conn {
	c, _ := ctx.Value(contextKey{}).(*Conn)
	return c
}

// Handler reports the requests that next answers to their connections.
func Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := FromContext(r.Context()); c != nil {
			c.Begin(time.Now())
			defer func() { c.End(time.Now(), r.Context().Err() != nil) }()
			c.Watch(r)
		}
		next.ServeHTTP(w, r)
	})
}

// Watch reports that the request's body is read, if it has one.
func (c *Conn) Watch(r *http.Request) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = body{r.Body, c, r.ProtoMajor == 1}
	}
}

type body struct {
	io.ReadCloser
	conn  *Conn
	alone bool // the connection carries nothing but this body while it is read
}

// Read implements io.Reader.
func (b body) Read(p []byte) (int, error) {
	if b.alone { // one call may read megabytes: net/http fills p from a single chunk
		b.conn.body.Store(true)
		defer b.conn.body.Store(false)
	}
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.conn.Progress()
	}
	return n, err
}
