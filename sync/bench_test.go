package sync_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
)

// benchEnv makes the test binary an edge that tells what goes live on its standard
// output and looks at its origins for each line on its standard input: a process of
// its own, so that its memory and time are its own. It holds the options as JSON.
const benchEnv = "TERRANE_SYNC_BENCH"

type benchOptions struct {
	Data  string
	Store tenantsync.Store
}

func benchChild(options string) {
	var o benchOptions
	rec := &storetest.Recorder{}
	err := json.Unmarshal([]byte(options), &o)
	var s *tenantsync.Syncer
	if err == nil {
		s, err = tenantsync.New(tenantsync.Options{Data: o.Data, Stores: []tenantsync.Store{o.Store}, Publisher: rec})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	rec.Files = tenantsync.NewFiles(o.Data)
	rec.Told = func(e storetest.Event) { fmt.Println("live", e.ID) }
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			before := s.LastLook()
			s.Nudge("")
			for in.Text() == "look" && !s.LastLook().After(before) {
				<-tick.C
			}
			fmt.Println("looked")
		}
	}()
	if err := s.Run(ctx); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// benchEdge is a child of the benchmark.
type benchEdge struct {
	b     *testing.B
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func startBenchEdge(b *testing.B, data string, store tenantsync.Store) *benchEdge {
	b.Helper()
	options, err := json.Marshal(benchOptions{data, store})
	check(b, err)
	e := &benchEdge{b: b, cmd: exec.Command(os.Args[0])}
	e.cmd.Env = append(os.Environ(), benchEnv+"="+string(options))
	e.cmd.Stderr = os.Stderr
	e.in, err = e.cmd.StdinPipe()
	check(b, err)
	out, err := e.cmd.StdoutPipe()
	check(b, err)
	e.lines = bufio.NewScanner(out)
	check(b, e.cmd.Start())
	return e
}

// await reads lines until n of them begin with the words.
func (e *benchEdge) await(words string, n int) {
	e.b.Helper()
	for n > 0 && e.lines.Scan() {
		if strings.HasPrefix(e.lines.Text(), words) {
			n--
		} else if line := e.lines.Text(); line != "looked" && !strings.HasPrefix(line, "live ") {
			e.b.Fatal(line)
		}
	}
	check(e.b, e.lines.Err())
}

// ask has the edge look at its origin; "look" is answered when it has.
func (e *benchEdge) ask(how string) {
	e.b.Helper()
	_, err := io.WriteString(e.in, how+"\n")
	check(e.b, err)
}

// cpu is the processor time that the edge has taken, in steps of 10 ms.
func (e *benchEdge) cpu() time.Duration {
	e.b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.cmd.Process.Pid))
	check(e.b, err)
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:15] { // its own and its children's
		n, err := strconv.Atoi(f)
		check(e.b, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// stop ends the edge and returns its peak of memory, in MB.
func (e *benchEdge) stop() float64 {
	e.b.Helper()
	check(e.b, e.in.Close())
	for e.lines.Scan() {
		// What is still being told.
	}
	check(e.b, e.cmd.Wait())
	return peakMB(e.cmd)
}

// peakMB is the largest peak of a process that has ended and of its children.
func peakMB(cmd *exec.Cmd) float64 {
	return float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
}

// byGit reports what the git command takes for the same work.
func byGit(b *testing.B, dir string, args ...string) {
	b.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	begin := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("git %v: %v\n%s", args, err, out)
	}
	b.ReportMetric(time.Since(begin).Seconds()*1000, "git-ms")
	b.ReportMetric(peakMB(cmd), "git-peak-MB")
	b.ReportMetric(float64((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Milliseconds()), "git-cpu-ms")
}

// fill makes so many tenants with so many random bytes each below dir.
func fill(b *testing.B, dir string, tenants, bytes int) {
	b.Helper()
	random := rand.New(rand.NewPCG(1, 2)) // data that does not compress
	for i := range tenants {
		data := make([]byte, bytes)
		for j := range data {
			data[j] = byte(random.Uint32())
		}
		sub := filepath.Join(dir, fmt.Sprint("t", i))
		check(b, os.MkdirAll(sub, 0o755))
		check(b, os.WriteFile(filepath.Join(sub, "index.wasm"), append([]byte(storetest.Module), data...), 0o644))
	}
}

// benchPlaces are a folder and a repository with so many tenants, and how one of them
// is deployed to.
func benchPlaces(b *testing.B, tenants, bytes int, run func(b *testing.B, store tenantsync.Store, p *gitPlace, deploy func(content string))) {
	b.Run("folder", func(b *testing.B) {
		p := newFolderPlace(b)
		fill(b, p.dir, tenants, bytes)
		run(b, tenantsync.Store{Prefix: "/t/", Folder: &tenantsync.Folder{Path: p.dir}}, nil, func(content string) {
			check(b, os.WriteFile(filepath.Join(p.dir, "t3/index.wasm"), []byte(content), 0o644))
		})
	})
	b.Run("git", func(b *testing.B) {
		p := newGitPlace(b).serveHTTP(b)
		fill(b, p.work, tenants, bytes)
		p.push(b)
		store := p.Store()
		store.Poll = time.Hour
		run(b, store, p, func(content string) {
			check(b, os.WriteFile(filepath.Join(p.work, "t3/index.wasm"), []byte(content), 0o644))
			git(b, p.work, "commit", "-q", "-m", "x", "t3/index.wasm")
			git(b, p.work, "push", "-q", "origin", "HEAD:main")
		})
	})
}

// BenchmarkFirstMirror is the time until 1,000 tenants with 300 MB are published for the
// first time, and until a restart has published them from the mirror, beside git clone.
func BenchmarkFirstMirror(b *testing.B) {
	benchPlaces(b, 1000, 300<<10, func(b *testing.B, store tenantsync.Store, p *gitPlace, _ func(string)) {
		for b.Loop() {
			data := b.TempDir()
			for _, run := range []string{"first", "restart"} {
				begin := time.Now()
				e := startBenchEdge(b, data, store)
				e.await("live ", 1000)
				b.ReportMetric(time.Since(begin).Seconds(), run+"-s")
				b.ReportMetric(e.stop(), run+"-peak-MB")
			}
		}
		if p != nil {
			byGit(b, b.TempDir(), "clone", "-q", "--bare", p.url, "clone")
		}
		b.ReportMetric(0, "ns/op")
	})
}

// BenchmarkOneOfMany is the time from a deploy of one module of 10,000 tenants returning
// until it is published, and looks in which nothing has changed. The repository is not
// polled: the edge is told.
func BenchmarkOneOfMany(b *testing.B) {
	benchPlaces(b, 10_000, 100, func(b *testing.B, store tenantsync.Store, p *gitPlace, deploy func(string)) {
		e := startBenchEdge(b, b.TempDir(), store)
		e.await("live ", 10_000)
		e.ask("look")
		e.await("looked", 1)
		const looks = 20
		begin := e.cpu()
		for range looks {
			e.ask("look")
			e.await("looked", 1)
		}
		look := e.cpu() - begin
		clone := b.TempDir()
		if p != nil {
			git(b, clone, "clone", "-q", "--bare", p.url, ".")
		}
		var took []time.Duration
		for b.Loop() {
			deploy(storetest.Module + fmt.Sprintf("\x00%c\x00%s", 20, time.Now().Format("150405.000000000___")[:19]))
			begin := time.Now()
			if p != nil {
				e.ask("nudge")
			}
			e.await("live /t/t3", 1)
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		b.ReportMetric(float64(look.Milliseconds())/looks, "no-change-cpu-ms")
		b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "median-ms")
		b.ReportMetric(float64(took[len(took)-1].Microseconds())/1e3, "worst-ms")
		b.ReportMetric(e.stop(), "peak-MB")
		b.ReportMetric(0, "ns/op")
		if p != nil {
			byGit(b, clone, "fetch", "-q", "origin", "+main:main")
		}
	})
}
