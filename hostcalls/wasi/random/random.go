// Package random is wasi:random. All of it is from the system's generator: what the interfaces
// call insecure is no weaker.
package random

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// Interfaces are those of wasi:random.
func Interfaces() []abi.Interface {
	return []abi.Interface{{
		Name: "wasi:random/random", Version: "0.2",
		Funcs: []abi.Func{
			{Name: "get-random-bytes", Type: "func(len: u64) -> list<u8>", Do: randomBytes},
			{Name: "get-random-u64", Type: "func() -> u64", Do: randomU64},
		},
	}, {
		Name: "wasi:random/insecure", Version: "0.2",
		Funcs: []abi.Func{
			{Name: "get-insecure-random-bytes", Type: "func(len: u64) -> list<u8>", Do: randomBytes},
			{Name: "get-insecure-random-u64", Type: "func() -> u64", Do: randomU64},
		},
	}, {
		Name: "wasi:random/insecure-seed", Version: "0.2",
		Funcs: []abi.Func{{Name: "insecure-seed", Type: "func() -> tuple<u64, u64>", Do: seed}},
	}}
}

// most is how many bytes one call gives.
const most = 1 << 20

var errMost = errors.New("more than 1 MiB of random bytes at once")

func randomBytes(_ context.Context, c *abi.Call) error {
	if c.U64(0) > most {
		return errMost
	}
	_, err := rand.Read(c.Result().Space(int(c.U64(0))))
	return err
}

func word() (uint64, error) {
	var b [8]byte
	_, err := rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

func randomU64(_ context.Context, c *abi.Call) error {
	v, err := word()
	if err != nil {
		return err
	}
	return c.Return(v)
}

func seed(_ context.Context, c *abi.Call) error {
	for i := range 2 {
		v, err := word()
		if err != nil {
			return err
		}
		c.Result().Field(i).Put(v)
	}
	return nil
}
