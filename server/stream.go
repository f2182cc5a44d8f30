package server

import (
	"io"
	"net/http"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/server/internal/share"
)

// beginStream implements hostcalls.Request.Stream: it sends status and header of a
// response that the guest then sends in chunks.
func (v *visit) beginStream(resp *hostcalls.Response) (io.Writer, error) {
	v.streaming = true
	v.register(v.srv.bodies)
	// A visitor who takes no more than a chunk must not hold the guest beyond its time.
	until := v.ends
	if slow := time.Now().Add(v.srv.opts.WriteTimeout); slow.Before(until) {
		until = slow
	}
	if err := http.NewResponseController(v.ResponseWriter).SetWriteDeadline(until); err != nil {
		return nil, err
	}
	h := v.Header()
	h["Content-Type"] = nil
	length := resp.Header.Get("Content-Length")
	v.copyHeader(h, resp.Header, length)
	if length == "" {
		delete(h, "Content-Length")
	}
	v.WriteHeader(resp.Code)
	if v.r.Method == http.MethodHead || !bodyAllowed(resp.Code) {
		return io.Discard, nil
	}
	return (*chunks)(v), nil
}

// chunks writes each part of a body to the visitor at once.
type chunks visit

// Write implements io.Writer.
func (c *chunks) Write(p []byte) (int, error) {
	v := (*visit)(c)
	n, err := v.Write(p)
	if err == nil {
		v.share.Begin(share.Writing)
		err = http.NewResponseController(v.ResponseWriter).Flush()
		v.share.Done(0)
	}
	return n, err
}
