// Package logging is wasi:logging: lines in the tenant's log.
package logging

import (
	"context"
	"log/slog"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// Interfaces are those of wasi:logging, which has never had a release.
func Interfaces() []abi.Interface {
	var out []abi.Interface
	for _, version := range [...]string{"", "0.1.0-draft", "0.1.0"} {
		out = append(out, abi.Interface{
			Name: "wasi:logging/logging", Version: version,
			Types: "level = enum{trace, debug, info, warn, error, critical}",
			Funcs: []abi.Func{{Name: "log", Type: "func(level: level, context: string, message: string)", Do: log}},
		})
	}
	return out
}

func log(_ context.Context, c *abi.Call) error {
	levels := [...]slog.Level{slog.LevelDebug, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, slog.LevelError}
	level, err := c.Case(0, len(levels))
	if err != nil {
		return err
	}
	subject, err := c.Text(1)
	if err != nil {
		return err
	}
	message, err := c.Text(3)
	if err != nil {
		return err
	}
	text := string(message[:min(len(message), hostcalls.LogLineMax)])
	if len(subject) > 0 {
		text = string(subject[:min(len(subject), hostcalls.LogLineMax)]) + ": " + text
	}
	c.X.Log(levels[level], text)
	return nil
}
