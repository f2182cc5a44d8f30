package certs_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/certs/certstest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func newInternal(t *testing.T, o certs.InternalOptions) *certs.Internal {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Permit == nil {
		o.Permit = certstest.Permit
	}
	c, err := certs.NewInternal(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestInternalIssuesWhatIsPermitted(t *testing.T) {
	c := newInternal(t, certs.InternalOptions{})
	cfg := c.TLSConfig()
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".example"
	for _, host := range []string{"alice.example", long} {
		state, err := certstest.Handshake(t, cfg, certstest.Trust(c.RootPEM(), host))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 || state.PeerCertificates[0].VerifyHostname(host) != nil {
			t.Errorf("%s: %+v", host, state)
		}
	}
	for _, host := range []string{"alice.test", ""} {
		client := certstest.Trust(c.RootPEM(), host)
		client.InsecureSkipVerify = true
		if _, err := certstest.Handshake(t, cfg, client); err == nil {
			t.Errorf("%q has a certificate", host)
		}
	}
}

func TestInternalRefusesOldTLS(t *testing.T) {
	c := newInternal(t, certs.InternalOptions{})
	client := certstest.Trust(c.RootPEM(), "alice.example")
	client.MinVersion, client.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err := certstest.Handshake(t, c.TLSConfig(), client); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
}

func TestInternalKeepsItsRoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	roots := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range roots { // processes that start together
		wg.Go(func() { roots[i] = newInternal(t, certs.InternalOptions{Dir: dir}).RootPEM() })
	}
	wg.Wait()
	again := newInternal(t, certs.InternalOptions{Dir: dir})
	for _, root := range roots {
		if !bytes.Equal(root, again.RootPEM()) {
			t.Fatal("two roots in one folder")
		}
	}
	info, err := os.Stat(filepath.Join(dir, "ca.pem"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("ca.pem: %v, %v", info.Mode(), err)
	}
	public, err := os.ReadFile(filepath.Join(dir, "root.crt"))
	if err != nil || !bytes.Equal(public, again.RootPEM()) {
		t.Errorf("root.crt: %q, %v", public, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestInternalRefusesDamagedAuthority(t *testing.T) {
	good := t.TempDir()
	newInternal(t, certs.InternalOptions{Dir: good})
	bundle := read(t, filepath.Join(good, "ca.pem"))
	other := t.TempDir()
	newInternal(t, certs.InternalOptions{Dir: other})
	_, certOfOther, _ := bytes.Cut(read(t, filepath.Join(other, "ca.pem")), []byte("-----BEGIN CERTIFICATE"))
	key, _, _ := bytes.Cut(bundle, []byte("-----BEGIN CERTIFICATE"))
	for name, tt := range map[string]struct {
		data []byte
		mode os.FileMode
		want string
	}{
		"readable": {bundle, 0o644, "chmod 600"},
		"empty":    {nil, 0o600, "no private key"},
		"half":     {key, 0o600, "no certificate"},
		"mixed":    {append(append(bytes.Clone(key), "-----BEGIN CERTIFICATE"...), certOfOther...), 0o600, "do not belong together"},
		"garbage":  {bytes.ReplaceAll(bundle, []byte("M"), []byte("A")), 0o600, "restore it, or remove it"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "ca.pem")
		if err := errors.Join(os.WriteFile(path, tt.data, tt.mode), os.Chmod(path, tt.mode)); err != nil {
			t.Fatal(err)
		}
		_, err := certs.NewInternal(certs.InternalOptions{Dir: dir, Permit: certstest.Permit})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// serial is the serial number of the certificate that a handshake for host gets.
func serial(t *testing.T, cfg *tls.Config, host string) string {
	t.Helper()
	cert, err := cfg.GetCertificate(&tls.ClientHelloInfo{ServerName: host})
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf.SerialNumber.String()
}

func TestInternalRenewsAndForgets(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := newInternal(t, certs.InternalOptions{Dir: dir, Lifetime: 3 * time.Hour, Cache: 2})
		cfg := c.TLSConfig()
		first := serial(t, cfg, "a.example")
		time.Sleep(119 * time.Minute)
		if serial(t, cfg, "A.example.") != first {
			t.Error("renewed too early")
		}
		time.Sleep(2 * time.Minute)
		second := serial(t, cfg, "a.example")
		if second == first {
			t.Error("not renewed")
		}
		b := serial(t, cfg, "b.example")
		if serial(t, cfg, "a.example") != second {
			t.Error("forgotten without need")
		}
		serial(t, cfg, "c.example") // in the place of b, which was used before a
		if serial(t, cfg, "a.example") != second || serial(t, cfg, "b.example") == b {
			t.Error("forgot another one than the least recently used")
		}
	})
}

func TestInternalIssuesOncePerHost(t *testing.T) {
	c := newInternal(t, certs.InternalOptions{})
	cfg := c.TLSConfig()
	serials := make([]string, 16)
	var wg sync.WaitGroup
	for i := range serials {
		wg.Go(func() { serials[i] = serial(t, cfg, "a.example") })
	}
	wg.Wait()
	last := serial(t, cfg, "a.example")
	for _, s := range serials {
		if s != last {
			t.Errorf("two certificates for one host")
		}
	}
}

// pair writes a self-signed certificate for the names.
func pair(t *testing.T, dir, base string, names ...string) certs.Pair {
	t.Helper()
	cert, key := certstest.WritePair(t, dir, base, time.Now().Add(time.Hour), names...)
	return certs.Pair{Cert: cert, Key: key}
}

func TestFilesBySNI(t *testing.T) {
	dir := t.TempDir()
	f, err := certs.NewFiles(certs.FilesOptions{Pairs: []certs.Pair{
		pair(t, dir, "one", "one.example"), pair(t, dir, "wild", "*.wild.example", "two.example"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"one.example": "one.example", "a.wild.example": "*.wild.example", "TWO.example": "*.wild.example",
		"wild.example": "one.example", "a.b.wild.example": "one.example", "nobody.test": "one.example", "": "one.example",
	} {
		state, err := certstest.Handshake(t, f.TLSConfig(), &tls.Config{ServerName: host, InsecureSkipVerify: true})
		if err != nil || state.PeerCertificates[0].DNSNames[0] != want {
			t.Errorf("%q: %v, want %s", host, err, want)
		}
	}
}

func TestFilesNamesAllFaults(t *testing.T) {
	dir := t.TempDir()
	one, two := pair(t, dir, "one", "one.example"), pair(t, dir, "two", "two.example")
	_, err := certs.NewFiles(certs.FilesOptions{Pairs: []certs.Pair{{Cert: one.Cert, Key: two.Key}, {Cert: dir + "/none", Key: one.Key}, two}})
	for _, want := range []string{"files[0]: certificate " + one.Cert, "private key does not match", "files[1]: certificate " + dir + "/none"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: no %q", err, want)
		}
	}
	if _, err := certs.NewFiles(certs.FilesOptions{}); err == nil || !strings.HasPrefix(err.Error(), "files: want") {
		t.Errorf("no pairs: %v", err)
	}
	if _, err := certs.NewFiles(certs.FilesOptions{Pairs: []certs.Pair{{Cert: one.Cert}}}); err == nil || err.Error() != "files[0]: want both cert and key" {
		t.Errorf("no key: %v", err)
	}
}

func TestFilesFollowChanges(t *testing.T) {
	dir := t.TempDir()
	p := pair(t, dir, "one", "one.example")
	synctest.Test(t, func(t *testing.T) {
		f, err := certs.NewFiles(certs.FilesOptions{Pairs: []certs.Pair{p}, Every: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		cfg := f.TLSConfig()
		stamp := 0
		change := func() { // also where the clock of the file system is coarse
			stamp++
			at := time.Unix(int64(stamp), 0)
			if err := os.Chtimes(p.Cert, at, at); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		first := serial(t, cfg, "one.example")
		change()
		if serial(t, cfg, "one.example") != first {
			t.Error("another certificate from the same files")
		}
		if err := os.WriteFile(p.Cert, []byte("rubbish"), 0o600); err != nil {
			t.Error(err)
		}
		change()
		if serial(t, cfg, "one.example") != first {
			t.Error("the certificate before did not stay")
		}
		pair(t, dir, "one", "one.example")
		change()
		if serial(t, cfg, "one.example") == first {
			t.Error("the new certificate is not served")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A client that names no host is told so.
func TestNoServerName(t *testing.T) {
	cfg := newInternal(t, certs.InternalOptions{Dir: t.TempDir()}).TLSConfig()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				err = tls.Server(conn, cfg).Handshake()
				_ = conn.Close()
			}
			served <- err
		}()
		_, err = tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if err == nil || err.Error() != "remote error: tls: unrecognized name" {
			t.Errorf("version %x: %v, want the alert unrecognized_name", version, err)
		}
		if err := <-served; !errors.Is(err, certs.ErrNoName) {
			t.Errorf("version %x: the server has %v", version, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
