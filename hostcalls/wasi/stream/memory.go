package stream

import (
	"io"
)

// Bytes is a Source that is whole.
type Bytes struct {
	Always
	rest []byte
}

// Reset makes b what is read next.
func (s *Bytes) Reset(b []byte) { s.rest = b }

// Rest is what has not been read.
func (s *Bytes) Rest() []byte { return s.rest }

// Read implements Source.
func (s *Bytes) Read(n int) ([]byte, error) {
	if len(s.rest) == 0 {
		return nil, io.EOF
	}
	b := s.rest[:min(n, len(s.rest))]
	s.rest = s.rest[len(b):]
	return b, nil
}

// Close implements Source.
func (*Bytes) Close() {}
