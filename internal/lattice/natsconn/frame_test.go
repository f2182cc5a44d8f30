package natsconn

import (
	"bytes"
	"testing"
)

func FuzzFrame(f *testing.F) {
	for _, seed := range []frame{{kind: kindPing}, {kind: kindData, n: 7, data: []byte("x")}, {kind: kindCredit, n: 1}, {kind: kindEnd, n: 9}} {
		f.Add(seed.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := parseFrame(b); err == nil && !bytes.Equal(got.append(nil), b) {
			t.Errorf("%x parsed as %+v, which is written %x", b, got, got.append(nil))
		}
	})
}
