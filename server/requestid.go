package server

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"sync/atomic"
)

// requestIDs makes ids that no other process makes: 80 random bits of the process,
// and a counter of 50 bits in an order that does not show how many there were.
type requestIDs struct {
	prefix string // 16 characters
	offset uint64
	count  atomic.Uint64
}

const (
	idAlphabet = "abcdefghijklmnopqrstuvwxyz234567"
	idDigits   = 10                 // of the counter, five bits each
	idStep     = 0x9e3779b97f4a7c15 // odd: multiplying by it permutes the counters
)

func newRequestIDs() *requestIDs {
	var seed [18]byte
	_, _ = rand.Read(seed[:]) // never fails
	return &requestIDs{
		prefix: base32.NewEncoding(idAlphabet).EncodeToString(seed[:10]),
		offset: binary.LittleEndian.Uint64(seed[10:]),
	}
}

func (ids *requestIDs) next() string {
	var id [16 + idDigits]byte
	copy(id[:], ids.prefix)
	n := (ids.count.Add(1) + ids.offset) * idStep
	for i := range idDigits {
		id[16+i] = idAlphabet[n&31]
		n >>= 5
	}
	return string(id[:])
}
