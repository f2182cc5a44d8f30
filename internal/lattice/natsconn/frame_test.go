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
		got, err := parseFrame(b)
		if err == nil && !bytes.Equal(got.append(nil), b) && (got.kind != kindPing || bytes.IndexByte([]byte("DCPF"), b[0]) >= 0) {
			t.Errorf("%x parsed as %+v, which is written %x", b, got, got.append(nil))
		}
	})
}

// TestNextVersion: what a later version may send is ignored.
func TestNextVersion(t *testing.T) {
	if f, err := parseFrame([]byte("Xsomething")); err != nil || f.kind != kindPing {
		t.Errorf("got %+v, %v", f, err)
	}
}
