package folder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
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
	f := Open(b.Context(), Options{Path: dir})
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

// BenchmarkReread is one pass over 10,000 tenants with three files of 20 kB each, and
// what share of a CPU passes take at the default rate.
func BenchmarkReread(b *testing.B) {
	const tenants, bytesPerSecond = 10_000, 4 << 20
	dir := b.TempDir()
	if err := unix.Mount("ramfs", dir, "ramfs", 0, ""); err != nil {
		b.Skip("mounting wants root")
	}
	b.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	content := make([]byte, 20_000)
	for i := range tenants {
		for _, name := range []string{"index.wasm", "style.css", "terrane.toml"} {
			path := filepath.Join(dir, fmt.Sprint("t", i), name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
				b.Fatal(err)
			}
		}
	}
	f := &Folder{o: Options{Path: dir}, watch: &watcher{}}
	r := newRereader(b.Context(), f, Reread{})
	r.o.Budget, r.o.Digest = rate.NewLimiter(rate.Inf, RereadBurst), digest
	jobs := make([]rereading, tenants)
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close() //nolint:errcheck // opened for reading
	for i := range jobs {
		jobs[i].name = fmt.Sprint("t", i)
		if _, jobs[i].key, err = f.scan(root, jobs[i].name, devices{}); err != nil {
			b.Fatal(err)
		}
	}
	begin := cpu()
	for b.Loop() {
		for i := range jobs {
			if _, _, err := r.read(b.Context(), &jobs[i]); err != nil {
				b.Fatal(err)
			}
		}
	}
	used := (cpu() - begin).Seconds() / float64(b.N)
	pass := float64(tenants*3*(FileCost+len(content))) / bytesPerSecond
	b.ReportMetric(used*1e3, "cpu-ms/op")
	b.ReportMetric(pass, "s/pass")
	b.ReportMetric(used/pass*100, "cpu-%")
}

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
