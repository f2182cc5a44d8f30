package githost

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	handshakeTime = 10 * time.Second
	maxConns      = 128
	maxChannels   = 4 // of one connection
	sshDrain      = 10 * time.Second
)

// listenSSH reads or makes the host key and listens.
func (h *Host) listenSSH(ctx context.Context) (net.Listener, error) {
	var err error
	if h.hostKey, err = readHostKey(filepath.Join(h.o.Dir, "ssh_host_ed25519")); err != nil {
		return nil, fmt.Errorf("ssh host key: %w", err)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", h.o.SSH)
	if err != nil {
		return nil, fmt.Errorf("git.ssh_listen: %w", err)
	}
	h.log.Info("git over ssh", "address", ln.Addr().String(), "host_key", ssh.FingerprintSHA256(h.hostKey.PublicKey()))
	return ln, nil
}

// readHostKey reads the key, or makes it; the public one stands beside it, for
// known_hosts.
func readHostKey(file string) (ssh.Signer, error) {
	data, err := os.ReadFile(file) //nolint:gosec // in a folder of our own
	if err == nil {
		return ssh.ParsePrivateKey(data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "terrane")
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, err
	}
	draft := file + ".new"
	return signer, errors.Join(
		os.WriteFile(file+".pub", ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o600),
		os.WriteFile(draft, pem.EncodeToMemory(block), 0o600), os.Rename(draft, file))
}

func (h *Host) serverConfig() *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		MaxAuthTries:  6,
		ServerVersion: "SSH-2.0-terrane",
		PublicKeyAuthAlgorithms: []string{ // none with SHA-1
			ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
			ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
		},
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			for _, r := range h.repos {
				p, err := r.byKey(key.Marshal())
				if err != nil {
					h.log.Error("cannot read who may push: nobody can", "store", r.Prefix, "err", err)
				}
				if p != nil {
					return &ssh.Permissions{Extensions: map[string]string{"key": string(key.Marshal())}}, nil
				}
			}
			return nil, errors.New("no pusher has this key")
		},
	}
	c.AddHostKey(h.hostKey)
	return c
}

// serveSSH takes connections until ctx ends, and then gives those that are open
// sshDrain to end.
func (h *Host) serveSSH(ctx context.Context, ln net.Listener) error {
	config := h.serverConfig()
	inner, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	places := newLanes(maxConns, 0)
	var conns sync.WaitGroup
	for ctx.Err() == nil {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() == nil { // too many open files, say
				h.log.Warn("cannot take an ssh connection", "err", err)
				wait(ctx, time.Second)
			}
			continue
		}
		leave, err := places.enter(ctx, key{network(conn.RemoteAddr().String()).String(), netConns})
		if err != nil {
			_ = conn.Close()
			continue
		}
		conns.Go(func() {
			defer leave()
			h.serveConn(inner, ctx, conn, config)
		})
	}
	defer time.AfterFunc(sshDrain, cut).Stop()
	conns.Wait()
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

// serveConn serves one connection. It is cut when ctx ends, and once closing has
// ended and nothing runs on it.
func (h *Host) serveConn(ctx, closing context.Context, conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close() //nolint:errcheck // nothing is lost
	from := conn.RemoteAddr().String()
	if h.strikes.out(from) {
		h.metrics.logins.WithLabelValues("ssh").Inc()
		return
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_ = conn.SetDeadline(time.Now().Add(handshakeTime)) // fails only on a closed connection
	idle := &idleConn{Conn: conn}
	client, channels, requests, err := ssh.NewServerConn(idle, config)
	if err != nil {
		if _, ok := errors.AsType[*ssh.ServerAuthError](err); ok {
			h.strikes.add(from)
			h.metrics.logins.WithLabelValues("ssh").Inc()
		}
		return
	}
	idle.loose()
	ctx, cancel := context.WithTimeout(ctx, sessionTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var sessions atomic.Int32
	leave := func() {
		if sessions.Load() == 0 && closing.Err() != nil {
			_ = conn.Close()
		}
	}
	defer context.AfterFunc(closing, leave)()
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { ssh.DiscardRequests(requests) }) // no forwarding
	places := make(chan struct{}, maxChannels)
	for c := range channels {
		if c.ChannelType() != "session" {
			_ = c.Reject(ssh.UnknownChannelType, "only git-upload-pack and git-receive-pack")
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			_ = c.Reject(ssh.ResourceShortage, "too many sessions")
			continue
		}
		sessions.Add(1)
		running.Go(func() {
			defer func() { <-places; sessions.Add(-1); leave() }()
			h.serveChannel(ctx, c, network(from).String(), []byte(client.Permissions.Extensions["key"]))
		})
	}
}

// serveChannel runs the one command of a session.
func (h *Host) serveChannel(ctx context.Context, c ssh.NewChannel, from string, key []byte) {
	ch, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer ch.Close() //nolint:errcheck // the client may have left
	protocol := ""
	for r := range requests {
		switch r.Type {
		case "env":
			var v struct{ Name, Value string }
			if ok := ssh.Unmarshal(r.Payload, &v) == nil && v.Name == "GIT_PROTOCOL"; ok {
				protocol = v.Value
			}
			_ = r.Reply(true, nil)
		case "exec":
			var v struct{ Command string }
			err := ssh.Unmarshal(r.Payload, &v)
			_ = r.Reply(err == nil, nil)
			s := &session{protocol: protocol, from: from, in: ch, out: ch}
			s.feeding.Go(func() { ssh.DiscardRequests(requests) })
			status := h.execute(ctx, s, ch, key, v.Command)
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
			_ = ch.Close()
			s.feeding.Wait()
			return
		default: // shell, pty-req, subsystem, forwarding of agents
			_ = r.Reply(false, nil)
		}
	}
}

// execute runs "git-receive-pack '/git'" and returns the exit status.
func (h *Host) execute(ctx context.Context, s *session, ch ssh.Channel, key []byte, command string) uint32 {
	service, path, _ := strings.Cut(command, " ")
	path = strings.TrimSuffix(strings.Trim(path, "'/"), ".git")
	s.repo, s.service = h.find(path), service
	fail := func(text string) uint32 {
		_, _ = fmt.Fprintln(ch.Stderr(), "terrane: "+text) // the client may have left
		return 1
	}
	if service != uploadPack && service != receivePack {
		return fail("only git-upload-pack and git-receive-pack run here")
	}
	if s.repo == nil {
		return fail("there is no repository " + path)
	}
	var err error
	if s.who, err = s.repo.byKey(key); err != nil || s.who == nil {
		return fail("your key is not among the pushers of " + path)
	}
	if !s.who.finds(s.repo, service) {
		return fail("there is no repository " + path)
	}
	if service == receivePack && !s.who.writes(s.repo) {
		return fail("your key may read and not push")
	}
	if err := h.converse(ctx, s, ch); err != nil {
		h.log.Debug("git over ssh", "store", s.repo.Prefix, "service", service, "pusher", s.who.Name, "err", err)
		if errors.Is(err, errBusy) {
			return fail(err.Error())
		}
		return 1
	}
	return 0
}

// converse serves a fetch, which is a dialogue, by one command, and a push as two
// requests over HTTP are: no command waits for what the client sends.
func (h *Host) converse(ctx context.Context, s *session, ch ssh.Channel) error {
	leave, err := h.request(ctx, s)
	if err != nil {
		return err
	}
	defer leave()
	if err := h.open(ctx, s.repo); err != nil {
		h.log.Error("cannot make a repository", "store", s.repo.Prefix, "err", err)
		return err
	}
	if s.service != receivePack {
		return h.serve(ctx, s)
	}
	s.in = nil
	if err := h.advertise(ctx, s); err != nil {
		return err
	}
	if s.request, err = h.newSpool(s.who); err != nil {
		return err
	}
	defer s.request.Close() //nolint:errcheck // it has no name
	idle := time.AfterFunc(idleTime, func() { _ = ch.Close() })
	err = s.request.takePush(&lively{ch, idle}, maxRequest+s.repo.MaxPush)
	if !idle.Stop() || err != nil || s.request.size <= int64(len("0000")) { // it wanted to know only
		return err
	}
	s.flags = []string{"--stateless-rpc"}
	return h.serve(ctx, s)
}

// lively is a reader that puts a timer off.
type lively struct {
	io.Reader
	timer *time.Timer
}

// Read implements io.Reader.
func (l *lively) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if l.timer.Stop() {
		l.timer.Reset(idleTime)
	}
	return n, err
}

// idleConn bounds each write, and how long nothing is heard, once it is loose. Until
// then the deadline of the handshake holds.
type idleConn struct {
	net.Conn
	mu      sync.Mutex
	isLoose bool
}

// sshIdle is longer than the wait for a release, in which a client is silent.
const sshIdle = 5 * time.Minute

func (c *idleConn) loose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isLoose = true
	_ = c.SetDeadline(time.Now().Add(sshIdle)) // of the read that waits
}

func (c *idleConn) extend(set func(time.Time) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isLoose {
		_ = set(time.Now().Add(sshIdle)) // fails only on a closed connection
	}
}

// Read implements net.Conn.
func (c *idleConn) Read(b []byte) (int, error) { c.extend(c.SetReadDeadline); return c.Conn.Read(b) }

// Write implements net.Conn.
func (c *idleConn) Write(b []byte) (int, error) { c.extend(c.SetWriteDeadline); return c.Conn.Write(b) }
