package githost_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/terrane/terrane/sync/githost"
)

// stuck is the body of a request that never ends. It tells when it is read on.
type stuck struct {
	start io.Reader
	came  chan<- struct{}
	gone  <-chan struct{}
	once  sync.Once
}

// Read implements io.Reader.
func (s *stuck) Read(p []byte) (int, error) {
	if n, _ := s.start.Read(p); n > 0 {
		return n, nil
	}
	s.once.Do(func() { s.came <- struct{}{} })
	<-s.gone
	return 0, io.ErrUnexpectedEOF
}

// TestSlowSenders: pushers who send slowly hold none of the commands that others need.
func TestSlowSenders(t *testing.T) {
	o := newOrigin(t, nil)
	b := o.clone(o.with(bobToken))
	b.commit("bob/i", "1")
	came, gone := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	line := strings.Repeat("0", 40) + " " + strings.Repeat("1", 40) + " refs/heads/main\x00 report-status"
	for i := range 16 {
		body := &stuck{start: strings.NewReader(fmt.Sprintf("%04x%s0000PACK", len(line)+4, line)), came: came, gone: gone}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/git/git-receive-pack", body)
		req.SetBasicAuth("git", []string{aliceToken, opsToken}[i%2])
		all.Go(func() { o.Handler().ServeHTTP(httptest.NewRecorder(), req) })
	}
	for range 16 {
		<-came
	}
	b.push("main", "remote: bob: live")
	close(gone)
	all.Wait()
}

// TestSSHOpenEnd: a client of ssh that does not say that its push has ended, as JGit
// does not, gets its answer; and one that says nothing more is no push.
func TestSSHOpenEnd(t *testing.T) {
	o := newOrigin(t, nil)
	_, line, signer := newKey(t)
	o.write(o.pushers, "alice "+line)
	a := &clone{o, t.TempDir()}
	a.git("init", "-q", "-b", "main")
	a.commit("alice/i", "1")
	pack := a.command("pack-objects", "-q", "--stdout", "--revs")
	pack.Stdin = strings.NewReader("HEAD\n")
	objects, err := pack.Output()
	if err != nil {
		t.Fatal(err)
	}
	head := a.git("rev-parse", "HEAD")
	c, err := o.dial(signer)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // a test
	zero := strings.Repeat("0", 40)
	command := func(from, to string) string {
		text := from + " " + to + " refs/heads/main\x00 report-status"
		return fmt.Sprintf("%04x%s0000", len(text)+4, text)
	}
	for _, tt := range []struct{ name, send, want string }{
		{"nothing", "0000", "0000"},
		{"a push", command(zero, head) + string(objects), "ok refs/heads/main"},
		{"a deletion", command(head, zero), "ng refs/heads/main pre-receive hook declined"},
	} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		in, err := s.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		s.Stdout = &out
		if err := s.Start("git-receive-pack '/git'"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(in, tt.send); err != nil {
			t.Fatal(err)
		}
		if err := s.Wait(); err != nil || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: %v %q", tt.name, err, out.String())
		}
	}
	if o.head("main") != head {
		t.Errorf("main is at %s", o.head("main"))
	}
	o.fsck()
}

// TestPreviewsOfOthers: a branch is changed or deleted by those alone who may write all
// that it changes.
func TestPreviewsOfOthers(t *testing.T) {
	o := newOrigin(t, func(o *githost.Options) { o.Repos[0].Previews, o.Repos[0].Rewrites = true, true })
	ops := o.clone(o.with(opsToken))
	ops.commit("alice/i", "1", "bob/i", "1")
	ops.push("main")
	a := o.clone(o.with(aliceToken))
	a.commit("alice/i", "2")
	a.push("HEAD:refs/heads/preview/red", "remote: alice, preview red: live")
	red := o.head("preview/red")
	b := o.clone(o.with(bobToken))
	b.git("fetch", "-q", "origin")
	for name, ref := range map[string]string{
		"deleted": ":preview/red", "put back to main": "+origin/main:refs/heads/preview/red",
		"covered": "+HEAD:refs/heads/preview/red", "taken back": "+origin/preview/red~1:refs/heads/preview/red",
	} {
		b.git("reset", "-q", "--hard", "origin/main")
		b.commit("bob/i", "2")
		b.refused(ref, "alice: not yours to change: bob may write bob, carol")
		if o.head("preview/red") != red {
			t.Fatalf("another's branch was %s", name)
		}
	}
	b.git("reset", "-q", "--hard", "origin/preview/red")
	b.commit("bob/i", "3")
	b.refused("HEAD:refs/heads/preview/red", "alice: not yours to change") // on top of another's
	b.git("reset", "-q", "--hard", "origin/main")
	b.commit("bob/i", "2")
	b.push("HEAD:refs/heads/preview/blue", "remote: bob, preview blue: live")
	a.refused(":preview/blue", "bob: not yours to change")
	b.push(":preview/blue", "remote: bob, preview blue: removed")
	ops.git("fetch", "-q", "origin")
	ops.push(":preview/red", "remote: alice, preview red: removed")
}
