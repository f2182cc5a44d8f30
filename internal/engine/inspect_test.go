package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
)

func TestCheckReportsEveryFault(t *testing.T) {
	two := uint32(2)
	info := &engine.Info{
		Imports: []engine.Import{
			{Module: "env", Name: "hostcall_debug", Kind: "function", Type: "(i32, i32) -> nothing"},
			{Module: "env", Name: "hostcall_nope", Kind: "function", Type: "() -> nothing"},
			{Module: "host", Name: "hostcall_debug", Kind: "function", Type: "() -> nothing"},
			{Module: "gpu", Name: "draw", Kind: "function", Type: "() -> nothing"},
			{Module: "env", Name: "hostcall_req_create", Kind: "function", Type: "(i32) -> i32"},
			{Module: "env", Name: "memory", Kind: "memory"},
		},
		Exports: []engine.Export{{Name: "run", Kind: "function", Type: "(i32) -> nothing"}},
		Memory:  &engine.Memory{Min: 65536},
		Tables:  []engine.Table{{Min: 1<<32 - 1, Max: &two}},
	}
	err := engine.Check(info, hostcalls.Functions(), engine.Limits{Memory: 1 << 20})
	if !errors.Is(err, engine.ErrRefused) {
		t.Fatalf("%v is not ErrRefused", err)
	}
	for _, want := range []string{
		"imports env.hostcall_nope, which does not exist",
		"imports host.hostcall_debug, which does not exist; there is env.hostcall_debug",
		`imports gpu.draw; nothing is offered under "gpu"`,
		"imports env.hostcall_req_create as (i32) -> i32; it is (i32, i32, i32, i32) -> i32",
		"imports the memory env.memory: only functions can be imported",
		"exports run as (i32) -> nothing; it must be () -> nothing",
		"memory starts at 65536 pages (4194304 KiB); the limit is 1024 KiB",
		"tables of 4294967295 elements; the limit is 1048576",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 8 {
		t.Errorf("%d lines, want 8:\n%v", n, err)
	}
}

func TestInspect(t *testing.T) {
	const header = "\x00asm\x01\x00\x00\x00"
	info, err := engine.Inspect([]byte(header))
	if err != nil || info.Size != 8 || info.Entry != "" {
		t.Errorf("the empty module: %+v, %v", info, err)
	}
	for guest, fresh := range map[string]string{"hello": "", "dirty": "", "tableset": "table.set", "tablegrow": "table.grow", "datadrop": "data.drop drops a segment (function 1)"} {
		info, err := engine.Inspect(enginetest.Guest(t, guest))
		if err != nil || info.Entry != "run" || (fresh == "") != (info.Fresh == "") || !strings.Contains(info.Fresh, fresh) {
			t.Errorf("%s: %+v, %v; want the reason %q", guest, info, err, fresh)
		}
	}
	if _, err := engine.Inspect([]byte("(module)")); !errors.Is(err, engine.ErrRefused) {
		t.Errorf("text: %v", err)
	}
}
