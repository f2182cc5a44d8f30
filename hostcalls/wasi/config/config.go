// Package config is wasi:config: the environment of the tenant's manifest, in the drafts that
// toolchains are built against.
package config

import (
	"context"
	"maps"
	"slices"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// Interfaces are those of wasi:config.
func Interfaces() []abi.Interface {
	var out []abi.Interface
	for _, as := range [...]struct{ name, version string }{
		{"wasi:config/store", "0.2.0-rc.1"},
		{"wasi:config/store", "0.2.0-draft"},
		{"wasi:config/store", "0.2.0-draft-2024-09-27"}, // Spin 3
		{"wasi:config/runtime", "0.2.0-draft"},          // wasmCloud 1
	} {
		out = append(out, abi.Interface{
			Name: as.name, Version: as.version, Types: "error = variant{upstream(string), io(string)}",
			Funcs: []abi.Func{
				{Name: "get", Type: "func(key: string) -> result<option<string>, error>", Do: get},
				{Name: "get-all", Type: "func() -> result<list<tuple<string, string>>, error>", Do: getAll},
			},
		})
	}
	return out
}

func get(_ context.Context, c *abi.Call) error {
	key, err := c.Text(0)
	if err != nil {
		return err
	}
	r := c.Ok()
	if v, ok := c.X.Env()[string(key)]; ok {
		r.Some().Text(abi.Valid(v))
	} else {
		r.None()
	}
	return nil
}

func getAll(_ context.Context, c *abi.Call) error {
	env := c.X.Env()
	list := c.Ok().List(len(env))
	for i, name := range slices.Sorted(maps.Keys(env)) {
		list.At(i).Field(0).Text(abi.Valid(name))
		list.At(i).Field(1).Text(abi.Valid(env[name]))
	}
	return nil
}
