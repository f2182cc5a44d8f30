package state_test

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

var manyKeys = flag.Int("state.keys", 10_000, "keys of BenchmarkManyKeys")

// keeperEnv holds the keeper of a process.
const keeperEnv = "TERRANE_STATE_KEEPER"

// keeper is an edge that is a process of its own. It tells of itself when it has all
// keys, and lives until SIGTERM.
type keeper struct {
	Lattice lattice.Options
	Home    string
	Keys    int  // it waits for
	Fill    bool // it stores them
}

// keptKeys is what a keeper tells.
type keptKeys struct {
	Filled, Took time.Duration // storing the keys; from the start until all are known
	RSS          int64         // bytes, when what the start left behind was given back
}

func (k *keeper) run() error {
	start := time.Now()
	ctx, s, wait, err := serve(k.Lattice, state.Options{Home: k.Home, Quota: hostcalls.Quota{Bytes: math.MaxInt64, Keys: math.MaxInt}})
	if err != nil {
		return err
	}
	var told keptKeys
	if k.Fill {
		if err := k.fill(ctx, s); err != nil {
			return err
		}
		told.Filled = time.Since(start)
	}
	for st := s.Status(); (!st.Complete || st.Keys < k.Keys) && ctx.Err() == nil; st = s.Status() {
		<-time.After(20 * time.Millisecond)
	}
	told.Took = time.Since(start)
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(rss, &told.RSS); err != nil {
		return err
	}
	told.RSS <<= 10
	if err := json.NewEncoder(os.Stdout).Encode(told); err != nil {
		return err
	}
	wait()
	return nil
}

func (k *keeper) fill(ctx context.Context, s *state.Store) error {
	kv := s.KV("/git/alice", state.Near)
	errs := make(chan error, 64)
	var next atomic.Uint64
	for range cap(errs) {
		go func() {
			value := make([]byte, 100)
			for {
				i := next.Add(1) - 1
				if i >= uint64(k.Keys) {
					errs <- nil
					return
				}
				if _, err := kv.Put(ctx, fmt.Sprintf("session/%08x", i*2654435761%(1<<32)), value, 0, time.Time{}); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	var failed error
	for range cap(errs) {
		if err := <-errs; err != nil {
			failed = err
		}
	}
	return failed
}

// start starts a keeper, and waits until it has the keys; stop ends it.
func (k *keeper) start(b *testing.B) (told keptKeys, stop func()) {
	b.Helper()
	env, err := json.Marshal(k)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), keeperEnv+"="+string(env)), os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(stop)
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&told); err != nil {
		b.Fatal(err)
	}
	return told, stop
}

// BenchmarkManyKeys stores -state.keys keys of 16 bytes with values of 100 in an edge
// alone, through its store, and has another region mirror them: what that takes in
// memory beside an edge without any, on disk, and when the edges are started again.
func BenchmarkManyKeys(b *testing.B) {
	hub := latticetest.FreeAddr(b)
	home := keeper{Lattice: lattice.Options{Name: "ams1", Region: "ams", Dir: b.TempDir(), LeafListen: hub}}
	far := keeper{Lattice: lattice.Options{Name: "fra1", Region: "fra", Dir: b.TempDir(), Leaf: []string{"nats://" + hub}}, Home: "ams"}
	for b.Loop() {
		empty, stop := home.start(b)
		stop()
		home.Keys, far.Keys = *manyKeys, *manyKeys
		home.Fill = true
		filled, stopHome := home.start(b)
		home.Fill = false
		mirrored, stopFar := far.start(b)
		stopFar()
		stopHome()
		again, _ := home.start(b)
		farAgain, _ := far.start(b)
		mb := func(n int64) float64 { return float64(n) / (1 << 20) }
		b.ReportMetric(float64(*manyKeys)/filled.Filled.Seconds(), "puts/s")
		b.ReportMetric(mb(empty.RSS), "empty-MB")
		b.ReportMetric(mb(filled.RSS), "filled-MB")
		b.ReportMetric(mb(again.RSS), "restarted-MB")
		b.ReportMetric(mb(farAgain.RSS), "mirror-MB")
		b.ReportMetric(again.Took.Seconds(), "restart-s")
		b.ReportMetric(farAgain.Took.Seconds(), "mirror-restart-s")
		b.ReportMetric(mirrored.Took.Seconds(), "mirror-s")
		b.ReportMetric(mb(onDisk(b, home.Lattice.Dir)), "disk-MB")
	}
	b.ReportMetric(0, "ns/op")
}

// onDisk is what the files of a folder take.
func onDisk(b *testing.B, dir string) (bytes int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}
