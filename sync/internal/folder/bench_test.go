package folder

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkPoll is one look at 10,000 tenants with three files each in which
// nothing has changed.
func BenchmarkPoll(b *testing.B) {
	dir := b.TempDir()
	for i := range 10_000 {
		sub := filepath.Join(dir, fmt.Sprintf("tenant%d", i))
		if err := os.Mkdir(sub, 0o755); err != nil {
			b.Fatal(err)
		}
		for _, name := range []string{"index.wasm", "style.css", "terrane.toml"} {
			if err := os.WriteFile(filepath.Join(sub, name), nil, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	f := Open(Options{Path: dir})
	defer f.Close() //nolint:errcheck // a test
	if _, err := f.Look(b.Context()); err != nil {
		b.Fatal(err)
	}
	begin := cpu()
	for b.Loop() {
		if _, err := f.Look(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu()-begin).Microseconds())/1e3/float64(b.N), "cpu-ms/op")
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
