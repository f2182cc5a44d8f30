package gitwire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"golang.org/x/crypto/ssh"
)

const (
	handshakeTime = 30 * time.Second
	lastWords     = 5 * time.Second // for a server to end once the client has
)

// talkPipe is a conversation with a command, here or at the other end of ssh.
type talkPipe struct {
	in    io.WriteCloser
	out   io.Reader
	words *words
	asked bool
	wait  func() // until the command has ended, for lastWords at most
	stop  func() // ends the command; idempotent
}

// words keeps the start of what a command says to people.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if room := 1024 - w.text.Len(); room > 0 {
		w.text.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return clean(w.text.Bytes())
}

func (t *talkPipe) ask(_ context.Context, request []byte) (io.Reader, error) {
	t.asked = true
	_, err := t.in.Write(request)
	return t.out, errors.Join(err, t.in.Close())
}

func (t *talkPipe) leave() {
	if !t.asked { // the server waits for a request: none comes
		t.asked = true
		_, _ = io.WriteString(t.in, "0000")
	}
	_ = t.in.Close()
	t.stop()
}

func (t *talkPipe) blame(err error) error {
	t.asked = true
	_ = t.in.Close()
	if errors.Is(err, io.ErrUnexpectedEOF) { // it has ended early, and says why
		t.wait()
	}
	t.stop()
	said := t.words.String()
	if said == "" {
		return err
	}
	for _, s := range []string{"not found", "not appear to be a git repository", "does not exist", "no such repository", "could not be found"} {
		if errors.Is(err, errSilent) && strings.Contains(strings.ToLower(said), s) {
			return fmt.Errorf("%w: %s", transport.ErrRepositoryNotFound, said)
		}
	}
	return fmt.Errorf("%w: the origin says: %s", err, said)
}

func (r *Remote) session(conn net.Conn, addr string, config *ssh.ClientConfig, hangUp func()) (*talkPipe, error) {
	_ = conn.SetDeadline(time.Now().Add(handshakeTime)) // fails only on a closed connection
	c, channels, requests, err := ssh.NewClientConn(conn, addr, config)
	if err != nil {
		return nil, fmt.Errorf("%s@%s: %w", config.User, addr, err)
	}
	_ = conn.SetDeadline(time.Time{}) // likewise
	client := ssh.NewClient(c, channels, requests)
	session, err := client.NewSession()
	if err != nil {
		return nil, err
	}
	t := &talkPipe{words: &words{}}
	session.Stderr = t.words
	if t.in, err = session.StdinPipe(); err != nil {
		return nil, err
	}
	if t.out, err = session.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := session.Start(uploadPack + " " + quote(r.endpoint.Path)); err != nil {
		return nil, err
	}
	t.wait = func() {
		cut := time.AfterFunc(lastWords, hangUp)
		defer cut.Stop()
		_ = session.Wait() // its status adds nothing to its words
	}
	t.stop = sync.OnceFunc(func() {
		hangUp()
		_ = client.Wait() // for the connection's goroutines
	})
	return t, nil
}

// quote makes a path one argument of a shell, as git does.
func quote(path string) string {
	return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(path) + "'"
}

func (r *Remote) connectFile(ctx, listing context.Context) (talk, io.Reader, error) {
	run, cancel := context.WithCancel(ctx)
	stopListing := context.AfterFunc(listing, func() {
		if errors.Is(context.Cause(listing), errSlow) {
			cancel()
		}
	})
	cmd := exec.CommandContext(run, "git", "upload-pack", "--", r.endpoint.Path) //nolint:gosec // the operator's path
	t := &talkPipe{words: &words{}}
	cmd.Stderr, cmd.WaitDelay = t.words, lastWords
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		cancel()
		return nil, nil, err
	}
	t.in, t.out = in, out
	reap := sync.OnceFunc(func() { _ = cmd.Wait() }) // likewise
	t.wait = func() {
		cut := time.AfterFunc(lastWords, cancel)
		defer cut.Stop()
		reap()
	}
	t.stop = sync.OnceFunc(func() { stopListing(); cancel(); reap() })
	return t, out, nil
}
