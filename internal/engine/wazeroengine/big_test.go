package wazeroengine_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

// section encodes a section of a module.
func section(id byte, parts ...[]byte) []byte {
	payload := bytes.Join(parts, nil)
	return append(binary.AppendUvarint([]byte{id}, uint64(len(payload))), payload...)
}

func number(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

// functions makes a module of n functions, each with the locals and the code.
func functions(n, locals int, code []byte) []byte {
	body := bytes.Join([][]byte{{1}, number(locals), {0x7f}, code, {0x0b}}, nil)
	body = append(number(len(body)), body...)
	return bytes.Join([][]byte{
		[]byte("\x00asm\x01\x00\x00\x00"),
		section(1, []byte("\x01\x60\x00\x00")),
		section(3, number(n), make([]byte, n)),
		section(7, []byte("\x01\x03run\x00\x00")),
		section(10, number(n), bytes.Repeat(body, n)),
	}, nil)
}

// TestCompilersWorstCases: what would take a compiler hours or gigabytes is refused
// before it is compiled.
func TestCompilersWorstCases(t *testing.T) {
	e := newEngine(t, wazeroengine.Options{Funcs: hostcalls.Functions()})
	defer func() { _ = e.Close(t.Context()) }()
	for _, tt := range []struct {
		name, want string
		wasm       []byte
	}{
		{"a million functions", "1000000 functions", functions(1_000_000, 0, nil)},
		{"a million loops", "too long to compile", functions(1, 0, bytes.Repeat([]byte("\x03\x40\x0b"), 1_000_000))},
		{"many functions of many loops", "too long to compile", functions(200, 0, bytes.Repeat([]byte("\x03\x40\x0b"), 1_000))},
		{"locals and branches", "too many for one function", functions(1, 50_000, bytes.Repeat([]byte("\x41\x00\x04\x40\x0b"), 50_000))},
		{"a million locals", "at most 50000", functions(1, 1_000_000, nil)},
		{"100 MB of nothing", "ends too early", append([]byte("\x00asm\x01\x00\x00\x00"), make([]byte, 100<<20)...)},
		{"100 MB of text", "not WebAssembly", bytes.Repeat([]byte("a"), 100<<20)},
	} {
		began := processorTime(t)
		_, err := e.Compile(t.Context(), tt.wasm, engine.Limits{})
		if !errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want a refusal with %q", tt.name, err, tt.want)
		}
		if d := processorTime(t) - began; d > 30*time.Second {
			t.Errorf("%s: refused after %v of processor time", tt.name, d)
		}
	}
}

// processorTime is what this process has used. Unlike the time of day it does not depend on what
// else the machine does.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
