package sync_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
)

// sshd serves git-upload-pack to one key and returns its address and host key.
func sshd(t *testing.T, user ssh.PublicKey) (addr string, hostKey ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	check(t, err)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(user.Marshal()) {
			return nil, errors.New("not this key")
		}
		return &ssh.Permissions{}, nil
	}}
	config.AddHostKey(signer)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serveSSH(conn, config) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	return ln.Addr().String(), signer.PublicKey()
}

func serveSSH(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close() //nolint:errcheck // a test
	_, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		ch, requests, err := c.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			command, ok := strings.CutPrefix(string(r.Payload[min(4, len(r.Payload)):]), "git-upload-pack '")
			_ = r.Reply(ok && r.Type == "exec", nil)
			if !ok || r.Type != "exec" {
				continue
			}
			cmd := exec.Command("git", "upload-pack", strings.TrimSuffix(command, "'"))
			cmd.Stdin, cmd.Stdout = ch, ch
			status := []byte{0, 0, 0, 0}
			if cmd.Run() != nil {
				status[3] = 1
			}
			_, _ = ch.SendRequest("exit-status", false, status)
			_ = ch.Close()
		}
	}
}

// TestGitSSH: a key opens the origin, and an origin with another host key is none.
func TestGitSSH(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	key, err := ssh.NewPublicKey(public)
	check(t, err)
	addr, hostKey := sshd(t, key)
	dir := t.TempDir()
	block, err := ssh.MarshalPrivateKey(private, "")
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "key"), pem.EncodeToMemory(block), 0o600))
	hosts := filepath.Join(dir, "known_hosts")
	check(t, os.WriteFile(hosts, []byte(knownhosts.Line([]string{addr}, key)+"\n"), 0o600)) // not the host's

	p := newGitPlace(t)
	p.url = "ssh://git@" + addr + p.bare
	store := p.Store()
	store.Git.SSHKey, store.Git.KnownHosts = filepath.Join(dir, "key"), hosts
	p.Deploy(t, storetest.Tree{"alice/i.html": "1"})
	e := storetest.Start(t, tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{store}})
	e.Await(t, "the host is refused", func() bool {
		return strings.Contains(e.Status().Stores[0].Error, "knownhosts")
	})
	check(t, os.WriteFile(hosts, []byte(knownhosts.Line([]string{addr}, hostKey)+"\n"), 0o600))
	e.Nudge("")
	e.AwaitContent(t, alice, "i.html", "1")
	p.Deploy(t, storetest.Tree{"alice/i.html": "2"})
	e.AwaitContent(t, alice, "i.html", "2")
}
