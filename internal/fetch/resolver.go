package fetch

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
)

// Resolver forwards a DNS message (RFC 1035) to whoever knows the answer, and returns
// that under the message's id. It is safe for concurrent use.
type Resolver interface {
	Query(ctx context.Context, message []byte) ([]byte, error)
}

// resolver lets a net.Dialer ask r, and choose among addresses as it always does;
// a nil r means the system's resolver.
func resolver(r Resolver) *net.Resolver {
	n := &net.Resolver{PreferGo: true}
	if r != nil {
		n.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			unused, _ := net.Pipe()
			return &question{Conn: unused, ask: func(m []byte) ([]byte, error) { return r.Query(ctx, m) }}, nil
		}
	}
	return n
}

// question is a connection to a Resolver: each message goes and comes behind its
// length, as over TCP (RFC 1035 4.2.2).
type question struct {
	net.Conn // for all but Read and Write
	ask      func([]byte) ([]byte, error)
	answer   bytes.Buffer
}

const lengthSize = 2

// Write takes one whole message, which is how package net writes it.
func (q *question) Write(b []byte) (int, error) {
	if len(b) < lengthSize {
		return 0, io.ErrShortWrite
	}
	answer, err := q.ask(b[lengthSize:])
	if err != nil {
		return 0, err
	}
	q.answer.Write(binary.BigEndian.AppendUint16(nil, uint16(len(answer))))
	q.answer.Write(answer)
	return len(b), nil
}

// Read gives the answers.
func (q *question) Read(b []byte) (int, error) { return q.answer.Read(b) }
