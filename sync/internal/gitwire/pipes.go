package gitwire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
	"golang.org/x/net/proxy"
)

const (
	sshPort       = 22
	handshakeTime = 30 * time.Second
	lastWords     = 5 * time.Second // for a server to end once the client has
)

type sshAuth = gitssh.AuthMethod

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

func (r *Remote) prepareSSH() error {
	a := r.o.Auth
	r.keys = nil
	if a.SSHKey == "" {
		return nil
	}
	user := r.endpoint.User
	if user == "" {
		user = "git"
	}
	keys, err := gitssh.NewPublicKeysFromFile(user, a.SSHKey, "")
	if err != nil {
		return fmt.Errorf("origin's ssh key %s: %w", a.SSHKey, err)
	}
	if a.KnownHosts != "" {
		if keys.HostKeyCallback, err = gitssh.NewKnownHostsCallback(a.KnownHosts); err != nil {
			return fmt.Errorf("origin's known hosts: %w", err)
		}
	}
	r.keys = keys
	return nil
}

// sshAddress is where to connect to; the user's ssh_config may say.
func (r *Remote) sshAddress() string {
	host, port := r.endpoint.Host, r.endpoint.Port
	if alias := gitssh.DefaultSSHConfig.Get(host, "Hostname"); alias != "" {
		if p, err := strconv.Atoi(gitssh.DefaultSSHConfig.Get(host, "Port")); err == nil {
			port = p
		}
		host = alias
	}
	if port <= 0 {
		port = sshPort
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
}

func (r *Remote) connectSSH(ctx, listing context.Context) (talk, io.Reader, error) {
	keys := r.keys
	if keys == nil {
		var err error
		if keys, err = gitssh.DefaultAuthBuilder(r.endpoint.User); err != nil {
			return nil, nil, err
		}
	}
	config, err := keys.ClientConfig()
	if err != nil {
		return nil, nil, err
	}
	addr := r.sshAddress()
	if config.HostKeyCallback == nil {
		db, err := gitssh.NewKnownHostsDb()
		if err != nil {
			return nil, nil, err
		}
		config.HostKeyCallback, config.HostKeyAlgorithms = db.HostKeyCallback(), db.HostKeyAlgorithms(addr)
	}
	conn, err := proxy.Dial(listing, "tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	// The connection ends with the listing's time, and once that is read with ctx.
	stopListing := context.AfterFunc(listing, func() {
		if errors.Is(context.Cause(listing), errSlow) {
			_ = conn.Close()
		}
	})
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	hangUp := sync.OnceFunc(func() { stopListing(); stop(); _ = conn.Close() })
	t, err := r.session(conn, addr, config, hangUp)
	if err != nil {
		hangUp()
		return nil, nil, err
	}
	return t, t.out, nil
}

func (r *Remote) session(conn net.Conn, addr string, config *ssh.ClientConfig, hangUp func()) (*talkPipe, error) {
	_ = conn.SetDeadline(time.Now().Add(handshakeTime)) // fails only on a closed connection
	c, channels, requests, err := ssh.NewClientConn(conn, addr, config)
	if err != nil {
		return nil, err
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
