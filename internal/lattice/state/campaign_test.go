package state_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// damageEnv holds the damageEdge that this process is.
const damageEnv = "TERRANE_STATE_DAMAGE"

// damageEdge is an edge of the campaign: it seeds the state, or looks at what damage has
// left of it.
type damageEdge struct {
	Options lattice.Options
	Seed    bool
	Writes  bool   // this edge, of several, tries a write
	Version uint64 // the highest that was given out
}

// damageReport is what an edge says of the state.
type damageReport struct {
	Version  uint64 // the highest given out
	Right    int
	Refused  int    // reads that failed
	Wrong    string // a read that returned what was not written, or nothing
	Problem  string // that operators are told
	Put      string // why a write failed
	Compared bool
	Accepted bool // a write was made while the edge reported damage
}

const (
	damageKeys  = 240
	damageBound = latticetest.Patience
)

// damageWant is what key i has, and whether it was deleted. Every third was written
// twice.
func damageWant(i int) (tenant, key string, value []byte, deleted bool) {
	size := 200 + 37*i
	return fmt.Sprint("/git/", i%3), fmt.Sprint("key", i), bytes.Repeat([]byte{byte(i)}, size), i%10 == 9
}

func (d *damageEdge) run() error {
	d.Options.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, s, wait, err := serve(d.Options, state.Options{Timeout: 3 * time.Second, Logger: d.Options.Logger, Ledger: filepath.Join(d.Options.Dir, "integrity", "terrane_state")})
	if err != nil {
		return err
	}
	defer wait()
	say := func(r *damageReport) {
		text, _ := json.Marshal(r)
		fmt.Println(string(text))
	}
	if d.Seed {
		r := damageReport{}
		if d.Writes {
			if r.Version, err = damageSeed(ctx, s); err != nil {
				return err
			}
		}
		say(&r)
		<-ctx.Done()
		return nil
	}
	for last := ""; ctx.Err() == nil; {
		r := d.look(ctx, s)
		if text, _ := json.Marshal(r); string(text) != last {
			last = string(text)
			fmt.Println(last)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

func damageSeed(ctx context.Context, s *state.Store) (version uint64, err error) {
	for i := range damageKeys {
		id, key, value, deleted := damageWant(i)
		kv := s.KV(id, state.Near)
		put := func(value []byte, at uint64) (err error) {
			for {
				version, err = kv.Put(ctx, key, value, at, time.Time{})
				if err == nil || ctx.Err() != nil {
					return err
				}
			}
		}
		if i%3 == 0 {
			err = put([]byte("first"), 0)
		} else {
			version = 0
		}
		if err == nil {
			err = put(value, version)
		}
		if err == nil && deleted {
			err = kv.Delete(ctx, key, version)
			version++
		}
		if err != nil {
			return 0, err
		}
	}
	return version, nil
}

// look reads everything. What it finds wrong counts only when the edge says nothing.
func (d *damageEdge) look(ctx context.Context, s *state.Store) *damageReport {
	r := &damageReport{Compared: !s.Status().Compared.IsZero()}
	if err := s.Healthy(); err != nil {
		r.Problem = err.Error()
	}
	if !s.Status().Complete && r.Problem == "" {
		return r
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for i := range damageKeys {
		id, key, value, deleted := damageWant(i)
		e, err := s.KV(id, state.Near).Get(ctx, key)
		switch {
		case deleted && errors.Is(err, hostcalls.ErrNotFound), !deleted && err == nil && bytes.Equal(e.Value, value):
			r.Right++
		case err == nil, errors.Is(err, hostcalls.ErrNotFound):
			r.Wrong = fmt.Sprintf("%s: %d bytes, %v", key, len(e.Value), err)
		default:
			r.Refused++
			if ctx.Err() != nil {
				return r
			}
		}
	}
	if d.Writes {
		v, err := s.KV("/git/new", state.Near).Put(ctx, strconv.FormatUint(rand.Uint64(), 10), nil, 0, time.Time{})
		switch {
		case err != nil:
			r.Put = err.Error()
		case v <= d.Version:
			r.Wrong = fmt.Sprintf("version %d was given twice", v)
		}
		r.Accepted = err == nil && strings.Contains(r.Problem, "is damaged")
	}
	return r
}

// damageProcess is a process of the campaign.
type damageProcess struct {
	cmd     *exec.Cmd
	reports chan damageReport
	stderr  *bytes.Buffer
	done    chan struct{}
}

func (d *damageEdge) start(t *testing.T) *damageProcess {
	t.Helper()
	env, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	p := &damageProcess{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0]), reports: make(chan damageReport, 1000), done: make(chan struct{}), stderr: new(bytes.Buffer)}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), damageEnv+"="+string(env)), p.stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		defer close(p.reports)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var r damageReport
			if json.Unmarshal(lines.Bytes(), &r) == nil {
				p.reports <- r
			}
		}
		_ = p.cmd.Wait() // its log says why
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// stop sends SIGTERM, and returns how long the end took.
func (p *damageProcess) stop(t *testing.T) time.Duration {
	begun := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails where it has ended
	select {
	case <-p.done:
	case <-time.After(damageBound):
		t.Errorf("SIGTERM did not end the edge within %s", damageBound)
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	return time.Since(begun)
}

// damageSeeds are folders of edges that have the state: stopped in order, and killed.
func damageSeeds(t *testing.T, n int) (edges []lattice.Options, version uint64) {
	t.Helper()
	edges = edgesIn(t, slices.Repeat([]string{""}, n)...)
	for i := range edges {
		edges[i].Dir = t.TempDir()
	}
	var running []*damageProcess
	for i := range edges {
		running = append(running, (&damageEdge{Options: edges[i], Seed: true, Writes: i == 0}).start(t))
	}
	for i, p := range running {
		select {
		case r, ok := <-p.reports:
			if !ok {
				t.Fatal(p.stderr.String())
			}
			version = max(version, r.Version)
		case <-time.After(damageBound):
			t.Fatalf("edge %d was not seeded: %s", i, p.stderr)
		}
	}
	for _, p := range running {
		p.stop(t)
	}
	return edges, version
}

var damageDigits = regexp.MustCompile(`[0-9]+`)

// damageKind names the kind of a file of the state.
func damageKind(path string) string {
	parts := strings.Split(filepath.ToSlash(path), "/")
	name := damageDigits.ReplaceAllString(parts[len(parts)-1], "N")
	switch {
	case strings.Contains(path, "_meta_"):
		return "meta raft " + name
	case slices.Contains(parts, "_js_"):
		if strings.Contains(path, "snapshots") {
			name = "snapshot"
		}
		return "raft " + name
	case slices.Contains(parts, "obs"):
		return "consumer " + name
	case slices.Contains(parts, "integrity"):
		return "record " + filepath.Ext(name)
	}
	return "stream " + name
}

// damageFiles are the files below a folder, by kind.
func damageFiles(t *testing.T, dir string) (kinds []string, files map[string][]string) {
	t.Helper()
	files = map[string][]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		kind := damageKind(strings.TrimPrefix(path, dir))
		if len(files[kind]) == 0 {
			kinds = append(kinds, kind)
		}
		files[kind] = append(files[kind], path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(kinds)
	return kinds, files
}

var damages = []string{"flip", "truncate", "zero"}

func damageFile(t *testing.T, path, how string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) == 0 {
		return "empty"
	}
	at := rand.IntN(len(data))
	switch how {
	case "flip":
		data[at] ^= 1 << rand.IntN(8)
	case "truncate":
		data = data[:at]
	case "zero":
		clear(data[at:min(at+1+rand.IntN(4096), len(data))])
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("at ", at)
}

func campaignTries(small, full int) int {
	switch env := os.Getenv("TERRANE_CAMPAIGN"); env {
	case "":
		return small
	case "full":
		return full
	default:
		n, _ := strconv.Atoi(env)
		return max(n, 1)
	}
}

// TestCampaignDamagedFiles damages one file of one edge's state after another: each run
// ends with everything that was written, or with a refusal that names the command.
func TestCampaignDamagedFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ edges, small, workers int }{{1, 3, 1}, {3, 1, 4}} {
		t.Run(strconv.Itoa(c.edges), func(t *testing.T) {
			t.Parallel()
			damageCampaign(t, c.edges, campaignTries(c.small, 200), c.workers)
		})
	}
}

// damageCampaign has workers, as most of the time of a cluster's run is spent waiting.
func damageCampaign(t *testing.T, n, tries, workers int) {
	var mu sync.Mutex
	outcomes, slowest := map[string]int{}, time.Duration(0)
	t.Run("runs", func(t *testing.T) {
		for w := range min(workers, tries) {
			t.Run(strconv.Itoa(w), func(t *testing.T) {
				t.Parallel()
				edges, version := damageSeeds(t, n)
				kinds, _ := damageFiles(t, edges[0].Dir)
				kinds = slices.DeleteFunc(kinds, func(kind string) bool { return !strings.Contains(kind, os.Getenv("TERRANE_CAMPAIGN_KIND")) })
				for try := w; try < tries; try += workers {
					kind, how := kinds[try%len(kinds)], damages[try/len(kinds)%len(damages)]
					if tries < len(kinds)*len(damages) {
						kind, how = kinds[rand.IntN(len(kinds))], damages[rand.IntN(len(damages))]
					}
					outcome, took := damageRun(t, edges, version, kind, how)
					mu.Lock()
					outcomes[outcome]++
					slowest = max(slowest, took)
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("campaign: damaged file of the state, %d edges | %d | intact %d, refused naming the fix %d, silent losses %d, other %d; SIGTERM ended each edge within %s",
		n, tries, outcomes["intact"], outcomes["refused"], outcomes["silent"], outcomes["other"], slowest.Round(100*time.Millisecond))
}

func damageRun(t *testing.T, seeds []lattice.Options, version uint64, kind, how string) (string, time.Duration) {
	edges := slices.Clone(seeds)
	for i := range edges {
		edges[i].Dir = filepath.Join(t.TempDir(), "lattice")
		if err := os.CopyFS(edges[i].Dir, os.DirFS(seeds[i].Dir)); err != nil {
			t.Fatal(err)
		}
	}
	victim := rand.IntN(len(edges))
	_, files := damageFiles(t, edges[victim].Dir)
	if len(files[kind]) == 0 {
		victim = 0
		_, files = damageFiles(t, edges[victim].Dir)
	}
	path := files[kind][rand.IntN(len(files[kind]))]
	where := damageFile(t, path, how)
	name := fmt.Sprintf("%s %s of %s (%s)", how, where, kind, strings.TrimPrefix(path, edges[victim].Dir))
	begun := time.Now()
	outcome, last, slowest := damageWatch(t, edges, version, name)
	if reset := strings.Contains(last[victim].Problem, "terrane lattice reset"); outcome == "refused" && reset { // what it says to do helps
		if _, err := lattice.Reset(edges[victim].Dir); err != nil {
			t.Error(err)
		}
		if after, _, _ := damageWatch(t, edges, version, name+", and reset"); after != "intact" {
			t.Errorf("%s: after a reset: %s", name, after)
		}
	}
	t.Logf("%s: %s after %s: %s", name, outcome, time.Since(begun).Round(100*time.Millisecond), last[victim].Problem)
	for i := range edges {
		_ = os.RemoveAll(edges[i].Dir)
	}
	return outcome, slowest
}

// damageWatch runs edges until it is known what the damage came to.
func damageWatch(t *testing.T, edges []lattice.Options, version uint64, name string) (outcome string, last []damageReport, slowest time.Duration) {
	var running []*damageProcess
	for i := range edges {
		running = append(running, (&damageEdge{Options: edges[i], Writes: i == 0, Version: version}).start(t))
	}
	last = make([]damageReport, len(edges))
	deadline := time.After(damageBound)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for outcome == "" {
		for i, p := range running {
			for more := true; more; {
				select {
				case r, ok := <-p.reports:
					if more = ok; ok {
						last[i] = r
						continue
					}
					<-p.done
					outcome = "other"
					if text := p.stderr.String(); strings.Contains(text, "terrane lattice reset") { // it does not start
						outcome, last[i].Problem = "refused", text[:min(len(text), 400)]
					}
				default:
					more = false
				}
			}
		}
		if o := damageOutcome(last); outcome == "" && o != "" {
			outcome = o
		}
		select {
		case <-deadline:
			outcome = "other"
		case <-tick.C:
		}
	}
	for _, p := range running {
		slowest = max(slowest, p.stop(t))
	}
	if outcome == "silent" || outcome == "other" {
		t.Errorf("%s: %s: %+v", name, outcome, last)
		for _, p := range running {
			t.Logf("%s", p.stderr)
		}
	}
	return outcome, last, slowest
}

// damageOutcome is what a run came to, empty while it goes on.
func damageOutcome(last []damageReport) string {
	intact, refused := true, false
	for _, r := range last {
		named := strings.Contains(r.Problem, "'terrane lattice repair'") || strings.Contains(r.Problem, "'terrane lattice reset'")
		switch {
		case r.Wrong != "":
			return "silent"
		case strings.Contains(r.Problem, "is damaged") && r.Accepted:
			return "silent"
		}
		refused = refused || named
		intact = intact && r.Problem == "" && r.Right == damageKeys && r.Compared && r.Put == ""
	}
	switch {
	case intact:
		return "intact"
	case refused:
		return "refused"
	}
	return ""
}
