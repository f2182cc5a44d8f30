package stream

import "github.com/terrane/terrane/hostcalls/wasi/abi"

// Interfaces are those of wasi:io.
func Interfaces() []abi.Interface {
	return []abi.Interface{{
		Name: "wasi:io/error", Version: "0.2",
		Resources: []abi.ResourceType{abi.NewResource[*Error]("error")},
		Funcs: []abi.Func{
			{Name: "[method]error.to-debug-string", Type: "func(self: borrow<error>) -> string", Do: errorText},
		},
	}, {
		Name: "wasi:io/poll", Version: "0.2",
		Resources: []abi.ResourceType{abi.NewResource[*Pollable]("pollable")},
		Funcs: []abi.Func{
			{Name: "[method]pollable.ready", Type: "func(self: borrow<pollable>) -> bool", Do: pollableReady},
			{Name: "[method]pollable.block", Type: "func(self: borrow<pollable>)", Do: pollableBlock},
			{Name: "poll", Type: "func(in: list<borrow<pollable>>) -> list<u32>", Do: poll},
		},
	}, {
		Name: "wasi:io/streams", Version: "0.2",
		Uses:      "error pollable",
		Types:     "stream-error = variant{last-operation-failed(error), closed}",
		Resources: []abi.ResourceType{abi.NewResource[*Input]("input-stream"), abi.NewResource[*Output]("output-stream")},
		Funcs: []abi.Func{
			{Name: "[method]input-stream.read", Type: "func(self: borrow<input-stream>, len: u64) -> result<list<u8>, stream-error>", Do: inputRead(false, false)},
			{Name: "[method]input-stream.blocking-read", Type: "func(self: borrow<input-stream>, len: u64) -> result<list<u8>, stream-error>", Do: inputRead(true, false)},
			{Name: "[method]input-stream.skip", Type: "func(self: borrow<input-stream>, len: u64) -> result<u64, stream-error>", Do: inputRead(false, true)},
			{Name: "[method]input-stream.blocking-skip", Type: "func(self: borrow<input-stream>, len: u64) -> result<u64, stream-error>", Do: inputRead(true, true)},
			{Name: "[method]input-stream.subscribe", Type: "func(self: borrow<input-stream>) -> pollable", Do: inputSubscribe},

			{Name: "[method]output-stream.check-write", Type: "func(self: borrow<output-stream>) -> result<u64, stream-error>", Do: outputCheckWrite},
			{Name: "[method]output-stream.write", Type: "func(self: borrow<output-stream>, contents: list<u8>) -> result<_, stream-error>", Do: outputWrite},
			{Name: "[method]output-stream.blocking-write-and-flush", Type: "func(self: borrow<output-stream>, contents: list<u8>) -> result<_, stream-error>", Do: outputWriteAndFlush},
			{Name: "[method]output-stream.flush", Type: "func(self: borrow<output-stream>) -> result<_, stream-error>", Do: outputFlush(false)},
			{Name: "[method]output-stream.blocking-flush", Type: "func(self: borrow<output-stream>) -> result<_, stream-error>", Do: outputFlush(true)},
			{Name: "[method]output-stream.subscribe", Type: "func(self: borrow<output-stream>) -> pollable", Do: outputSubscribe},
			{Name: "[method]output-stream.write-zeroes", Type: "func(self: borrow<output-stream>, len: u64) -> result<_, stream-error>", Do: outputWriteZeroes},
			{Name: "[method]output-stream.blocking-write-zeroes-and-flush", Type: "func(self: borrow<output-stream>, len: u64) -> result<_, stream-error>", Do: outputWriteZeroesAndFlush},
			{Name: "[method]output-stream.splice", Type: "func(self: borrow<output-stream>, src: borrow<input-stream>, len: u64) -> result<u64, stream-error>", Do: splice(false)},
			{Name: "[method]output-stream.blocking-splice", Type: "func(self: borrow<output-stream>, src: borrow<input-stream>, len: u64) -> result<u64, stream-error>", Do: splice(true)},
		},
	}}
}
