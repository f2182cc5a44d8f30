package bgp

import (
	"context"
	"fmt"
	"log/slog"

	gobgplog "github.com/osrg/gobgp/v3/pkg/log"
)

// logger is where GoBGP logs to. It never ends the process, though GoBGP expects
// Fatal and Panic to: what they report, its main loop survives. All but errors
// is for debugging: what matters to an operator is in Status.
type logger struct{ log *slog.Logger }

func (l *logger) write(level slog.Level, msg string, f gobgplog.Fields) {
	if ctx := context.Background(); l.log.Enabled(ctx, level) {
		l.log.Log(ctx, level, "gobgp", "said", msg, "fields", fmt.Sprint(f))
	}
}

// Panic implements GoBGP's logger, and does not panic.
func (l *logger) Panic(msg string, f gobgplog.Fields) { l.write(slog.LevelError, msg, f) }

// Fatal implements GoBGP's logger, and is not fatal.
func (l *logger) Fatal(msg string, f gobgplog.Fields) { l.write(slog.LevelError, msg, f) }

// Error implements GoBGP's logger.
func (l *logger) Error(msg string, f gobgplog.Fields) { l.write(slog.LevelError, msg, f) }

// Warn implements GoBGP's logger.
func (l *logger) Warn(msg string, f gobgplog.Fields) { l.write(slog.LevelDebug, msg, f) }

// Info implements GoBGP's logger.
func (l *logger) Info(msg string, f gobgplog.Fields) { l.write(slog.LevelDebug, msg, f) }

// Debug implements GoBGP's logger.
func (l *logger) Debug(msg string, f gobgplog.Fields) { l.write(slog.LevelDebug, msg, f) }

// SetLevel implements GoBGP's logger.
func (l *logger) SetLevel(gobgplog.LogLevel) {}

// GetLevel implements GoBGP's logger.
func (l *logger) GetLevel() gobgplog.LogLevel { return gobgplog.InfoLevel }
