// Package wasi lists the functions that components may import: WASI 0.2 and the interfaces that
// go with it. Package abi says how they are called.
package wasi

import (
	"slices"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi/abi"
	"github.com/terrane/terrane/hostcalls/wasi/cli"
	"github.com/terrane/terrane/hostcalls/wasi/clocks"
	"github.com/terrane/terrane/hostcalls/wasi/config"
	"github.com/terrane/terrane/hostcalls/wasi/filesystem"
	"github.com/terrane/terrane/hostcalls/wasi/http"
	"github.com/terrane/terrane/hostcalls/wasi/keyvalue"
	"github.com/terrane/terrane/hostcalls/wasi/logging"
	"github.com/terrane/terrane/hostcalls/wasi/random"
	"github.com/terrane/terrane/hostcalls/wasi/sockets"
	"github.com/terrane/terrane/hostcalls/wasi/stream"
)

// Interfaces lists every interface.
func Interfaces() []abi.Interface {
	return slices.Concat(
		stream.Interfaces(), clocks.Interfaces(), random.Interfaces(), cli.Interfaces(), http.Interfaces(), filesystem.Interfaces(),
		config.Interfaces(), keyvalue.Interfaces(), logging.Interfaces(), sockets.Interfaces(),
	)
}

// Functions lists the functions of every interface as fused components import them.
func Functions() []hostcalls.Func { return abi.Functions(Interfaces()...) }
