// Package clocks is wasi:clocks. The monotonic clock begins with the process.
package clocks

import (
	"context"
	"time"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
	"github.com/terrane/terrane/hostcalls/wasi/stream"
)

// Interfaces are those of wasi:clocks.
func Interfaces() []abi.Interface {
	m := monotonic{time.Now()}
	return []abi.Interface{{
		Name: "wasi:clocks/monotonic-clock", Version: "0.2", Uses: "pollable", Types: "instant = u64 duration = u64",
		Funcs: []abi.Func{
			{Name: "now", Type: "func() -> instant", Do: m.now},
			{Name: "resolution", Type: "func() -> duration", Do: resolution},
			{Name: "subscribe-instant", Type: "func(when: instant) -> pollable", Do: m.subscribeInstant},
			{Name: "subscribe-duration", Type: "func(when: duration) -> pollable", Do: subscribeDuration},
		},
	}, {
		Name: "wasi:clocks/wall-clock", Version: "0.2", Types: datetime,
		Funcs: []abi.Func{
			{Name: "now", Type: "func() -> datetime", Do: wallNow},
			{Name: "resolution", Type: "func() -> datetime", Do: wallResolution},
		},
	}, {
		Name: "wasi:clocks/timezone", Version: "0.2",
		Types: datetime + " timezone-display = record{utc-offset: s32, name: string, in-daylight-saving-time: bool}",
		Funcs: []abi.Func{
			{Name: "display", Type: "func(when: datetime) -> timezone-display", Do: display},
			{Name: "utc-offset", Type: "func(when: datetime) -> s32", Do: func(_ context.Context, c *abi.Call) error { return c.Return(0) }},
		},
	}}
}

const datetime = "datetime = record{seconds: u64, nanoseconds: u32}"

type monotonic struct{ start time.Time }

func (m monotonic) now(_ context.Context, c *abi.Call) error {
	return c.Return(uint64(time.Since(m.start)))
}

func resolution(_ context.Context, c *abi.Call) error { return c.Return(1) }

// longest is the longest time that a guest can wait for, which no request lasts.
const longest = 24 * time.Hour

func after(d uint64) time.Time { return time.Now().Add(time.Duration(min(d, uint64(longest)))) }

func (m monotonic) subscribeInstant(_ context.Context, c *abi.Call) error {
	now := uint64(time.Since(m.start))
	return c.ReturnNew(&stream.Pollable{Waiter: &stream.Timer{At: after(c.U64(0) - min(now, c.U64(0)))}}, 0)
}

func subscribeDuration(_ context.Context, c *abi.Call) error {
	return c.ReturnNew(&stream.Pollable{Waiter: &stream.Timer{At: after(c.U64(0))}}, 0)
}

// Put writes a datetime.
func Put(to abi.Place, t time.Time) {
	to.Field(0).Put(uint64(t.Unix()))
	to.Field(1).Put(uint64(t.Nanosecond()))
}

func wallNow(_ context.Context, c *abi.Call) error {
	Put(c.Result(), time.Now())
	return nil
}

func wallResolution(_ context.Context, c *abi.Call) error {
	Put(c.Result(), time.Unix(0, 1))
	return nil
}

// display is that of UTC: an edge has no time zone of its own.
func display(_ context.Context, c *abi.Call) error {
	r := c.Result()
	r.Field(0).Put(0)
	r.Field(1).Text("UTC")
	r.Field(2).PutBool(false)
	return nil
}
