package natsconn

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	window   = 16       // frames under way in each direction
	maxChunk = 32 << 10 // bytes of data in a frame
)

type kind byte

const (
	kindData   kind = 'D'
	kindCredit kind = 'C'
	kindPing   kind = 'P'
	kindEnd    kind = 'F'
)

// frame is one message of a stream. n is the seq of data and end, the count of credit.
type frame struct {
	kind kind
	n    uint32
	data []byte
}

var errFrame = errors.New("a frame that breaks the protocol")

func (f frame) append(b []byte) []byte {
	b = append(b, byte(f.kind))
	if f.kind != kindPing {
		b = binary.BigEndian.AppendUint32(b, f.n)
	}
	return append(b, f.data...)
}

// parseFrame's result keeps parts of b. Kinds of later versions are none of ours: it
// returns a ping for them.
func parseFrame(b []byte) (frame, error) {
	if len(b) == 0 {
		return frame{}, fmt.Errorf("%w: it is empty", errFrame)
	}
	f := frame{kind: kind(b[0])}
	switch f.kind {
	case kindData, kindCredit, kindPing, kindEnd:
	default:
		return frame{kind: kindPing}, nil
	}
	if b = b[1:]; f.kind != kindPing {
		if len(b) < 4 {
			return frame{}, fmt.Errorf("%w: %d bytes", errFrame, len(b)+1)
		}
		f.n, b = binary.BigEndian.Uint32(b), b[4:]
	}
	f.data = b
	switch {
	case f.kind == kindData && 0 < len(b) && len(b) <= maxChunk:
	case f.kind == kindCredit && 0 < f.n && f.n <= window && len(b) == 0:
	case (f.kind == kindEnd || f.kind == kindPing) && len(b) == 0:
	default:
		return frame{}, fmt.Errorf("%w: kind %q, n %d, %d bytes of data", errFrame, f.kind, f.n, len(b))
	}
	return f, nil
}
