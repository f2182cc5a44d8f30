package enginetest

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wasmgen"
)

// witness is what random guests call: it notes their memory in the answer.
func witness() hostcalls.Func {
	return hostcalls.Func{Module: wasmgen.HostModule, Name: wasmgen.HostName,
		Call: func(_ context.Context, x *hostcalls.Exchange, g hostcalls.Guest, _ []uint64) error {
			body := &x.Response().Body
			sum := crc32.Checksum(*body, crc32.MakeTable(crc32.Castagnoli))
			*body = binary.LittleEndian.AppendUint32((*body)[:0], crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), g.Memory()))
			return nil
		}}
}

// testRandom wants each run of a random guest to do what the first one did.
func testRandom(t *testing.T, newEngine New) {
	s := start(t, newEngine)
	called := 0
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 2))
		data := make([]byte, 1000)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		m, err := s.e.Compile(t.Context(), wasmgen.Module(data, wasmgen.Options{}), engine.Limits{Memory: mib})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		first, end := request(t.Context(), m)
		if first != "" {
			called++
		}
		for range 3 {
			body, err := request(t.Context(), m)
			if body != first || reason(err) != reason(end) {
				t.Errorf("seed %d: the first run ended with %v, a later one with %v; same answer: %v", seed, end, err, body == first)
			}
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if called < 3 {
		t.Errorf("only %d guests have called the host", called)
	}
}

func reason(err error) string {
	if trap, ok := errors.AsType[*engine.Trap](err); ok {
		return trap.Reason
	}
	return ""
}
