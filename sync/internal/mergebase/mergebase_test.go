package mergebase

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// graph reads commits as "NAME:TIME:PARENT,PARENT".
func graph(lines ...string) func(string) (Commit, error) {
	commits := map[string]Commit{}
	for _, line := range lines {
		var c Commit
		f := strings.Split(line, ":")
		c.ID = f[0]
		_, _ = fmt.Sscan(f[1], &c.Time)
		if f[2] != "" {
			c.Parents = strings.Split(f[2], ",")
		}
		commits[c.ID] = c
	}
	return func(id string) (Commit, error) {
		c, ok := commits[id]
		if !ok {
			return c, errors.New("no commit " + id)
		}
		return c, nil
	}
}

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		commits    []string
		want       string
	}{
		{"one", "a", "a", []string{"a:1:"}, "a"},
		{"ancestor", "c", "a", []string{"a:1:", "b:2:a", "c:3:b"}, "a"},
		{"parted", "c", "d", []string{"a:1:", "b:2:a", "c:3:b", "d:3:b"}, "b"},
		{"nothing in common", "b", "c", []string{"a:1:", "b:2:a", "c:3:"}, ""},
		// The preview has merged an old commit: it is nearer by steps, and an ancestor of the better one.
		{"shortcut to an old commit", "m4", "p", []string{"o:1:", "m1:2:o", "m2:3:m1", "m3:4:m2", "m4:5:m3", "x:5:m3", "p:6:x,o"}, "m3"},
		{"criss-cross", "x", "y", []string{"o:1:", "l:2:o", "r:3:o", "x:4:l,r", "y:5:l,r"}, "r"},
		{"criss-cross of one time", "x", "y", []string{"o:1:", "l:2:o", "r:2:o", "x:4:l,r", "y:5:l,r"}, "l"},
		{"a clock that is behind", "c", "d", []string{"a:5:", "b:1:a", "c:6:b", "d:7:b"}, "b"},
		{"a common commit whose time is before its parent's", "x", "y", []string{"o:9:", "l:2:o", "x:10:l,o", "y:11:l"}, "l"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, pair := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
				got, err := Find(pair[0], pair[1], graph(tt.commits...))
				if got != tt.want || (err != nil) != (tt.want == "") {
					t.Errorf("%s and %s: %q, %v, want %q", pair[0], pair[1], got, err, tt.want)
				}
			}
		})
	}
}

func TestFindIsBounded(t *testing.T) {
	loads := 0
	endless := func(id string) (Commit, error) { // two histories without end that never meet
		loads++
		var side string
		var n int64
		_, err := fmt.Sscanf(id, "%1s%d", &side, &n)
		return Commit{ID: id, Time: -n, Parents: []string{fmt.Sprint(side, n+1)}}, err
	}
	if _, err := Find("a0", "b0", endless); !errors.Is(err, ErrNone) || loads > Limit+2 {
		t.Errorf("%v after %d commits", err, loads)
	}
	failed := errors.New("damaged")
	if _, err := Find("a", "b", func(string) (Commit, error) { return Commit{}, failed }); !errors.Is(err, failed) {
		t.Error(err)
	}
}

// TestFindAsGit compares with the git command on random histories, whose clocks are true.
func TestFindAsGit(t *testing.T) {
	git := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.Output()
		if err != nil && len(out) > 0 {
			t.Fatalf("git %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	dir := t.TempDir()
	git("", "init", "-q", "--bare", dir)
	rnd := rand.New(rand.NewPCG(1, 2))
	const commits = 60
	var script strings.Builder
	for i := 1; i <= commits; i++ {
		fmt.Fprintf(&script, "commit refs/heads/c%d\nmark :%d\ncommitter A <a@example> %d +0000\ndata 0\n", i, i, 1000+i)
		parents := map[int]bool{}
		for range 1 + rnd.IntN(3) {
			if p := i - 1 - rnd.IntN(8); p > 0 && !parents[p] {
				fmt.Fprintf(&script, "%s :%d\n", map[bool]string{true: "merge", false: "from"}[len(parents) > 0], p)
				parents[p] = true
			}
		}
		script.WriteByte('\n')
	}
	git(script.String(), "-C", dir, "fast-import", "--quiet")
	byID := map[string]Commit{}
	for line := range strings.Lines(git("", "-C", dir, "rev-list", "--all", "--parents", "--timestamp")) {
		f := strings.Fields(line)
		c := Commit{ID: f[1], Parents: f[2:]}
		_, _ = fmt.Sscan(f[0], &c.Time)
		byID[c.ID] = c
	}
	if len(byID) != commits {
		t.Fatalf("%d commits", len(byID))
	}
	ids := make([]string, 0, commits)
	for id := range byID {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for range 60 {
		a, b := ids[rnd.IntN(commits)], ids[rnd.IntN(commits)]
		got, err := Find(a, b, func(id string) (Commit, error) { return byID[id], nil })
		want := strings.Fields(git("", "-C", dir, "merge-base", "--all", a, b))
		if len(want) == 0 && errors.Is(err, ErrNone) {
			continue
		}
		if err != nil || !slices.Contains(want, got) {
			t.Errorf("%s and %s: %q, %v, git says %q", a, b, got, err, want)
		}
	}
}
