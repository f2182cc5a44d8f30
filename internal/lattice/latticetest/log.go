package latticetest

import (
	"log/slog"
	"testing"
)

// Logger writes to the test's output, which shows when it fails.
func Logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}
