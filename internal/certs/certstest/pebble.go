package certstest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// PebbleFiles are the programs and files of the Pebble that tools/go.mod pins.
type PebbleFiles struct {
	CA  string // the program
	DNS string // a DNS server that says 127.0.0.1 of all names
	Src string // the module's folder
}

// FindPebble finds them; go tool builds the programs when it must.
func FindPebble() (PebbleFiles, error) { return findPebble() }

var findPebble = sync.OnceValues(func() (f PebbleFiles, err error) { //nolint:gochecknoglobals // it takes seconds, and finds the same
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return f, err
	}
	tools := "-modfile=" + filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "tools", "go.mod")
	for _, v := range []struct {
		to   *string
		args []string
	}{
		{&f.CA, []string{"tool", tools, "-n", "pebble"}},
		{&f.DNS, []string{"tool", tools, "-n", "pebble-challtestsrv"}},
		{&f.Src, []string{"list", tools, "-m", "-f", "{{.Dir}}", "github.com/letsencrypt/pebble/v2"}},
	} {
		out, err := exec.Command("go", v.args...).Output()
		if err != nil {
			return f, err
		}
		*v.to = strings.TrimSpace(string(out))
	}
	return f, nil
})

// PebbleOptions are what StartPebble takes.
type PebbleOptions struct {
	DNS string            // the server it asks for addresses; empty: one that says 127.0.0.1 of all names
	EAB map[string]string // key id -> key (base64url); accounts then want one (RFC 8555 7.3.4)
}

// Pebble is Let's Encrypt's test CA. It validates at ports of 127.0.0.1, whatever
// address DNS gives, and wants the CAA identity "pebble.letsencrypt.org".
type Pebble struct {
	URL       string // of the directory, behind the gate API
	Addr      string // of the API itself
	API       *Gate
	HTTP, TLS *Gate  // where it validates
	Roots     []byte // what its API is trusted by
	Issuer    []byte // what its certificates are trusted by

	manage string
	client *http.Client
	out    string // the file it logs to
}

// StartPebble runs one until the test ends, or skips the test where it cannot be built.
func StartPebble(t testing.TB, o PebbleOptions) *Pebble {
	t.Helper()
	files, err := FindPebble()
	if err != nil {
		t.Skipf("Pebble cannot be built: %v", err)
	}
	p := &Pebble{API: NewGate(t), HTTP: NewGate(t), TLS: NewGate(t), out: filepath.Join(t.TempDir(), "pebble.log")}
	if p.Roots, err = os.ReadFile(filepath.Join(files.Src, "test/certs/pebble.minica.pem")); err != nil {
		t.Fatal(err)
	}
	if o.DNS == "" {
		o.DNS = freePort(t)
		start(t, os.DevNull, files.DNS, "-http01", "", "-https01", "", "-doh", "", "-tlsalpn01", "", "-dnsserver", o.DNS, "-management", freePort(t), "-defaultIPv6", "")
	}
	p.Addr, p.manage = freePort(t), freePort(t)
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": p.Addr, "managementListenAddress": p.manage,
		"certificate": filepath.Join(files.Src, "test/certs/localhost/cert.pem"), "privateKey": filepath.Join(files.Src, "test/certs/localhost/key.pem"),
		"httpPort": p.HTTP.Port(), "tlsPort": p.TLS.Port(), "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "90 days", "validityPeriod": 90 * 24 * 3600}},

		"externalAccountBindingRequired": o.EAB != nil, "externalAccountMACKeys": o.EAB,
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, p.out, files.CA, "-config", file, "-dnsserver", o.DNS, "-strict")
	p.API.To(p.Addr)
	p.URL = fmt.Sprintf("https://localhost:%d/dir", p.API.Port())
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(p.Roots)
	p.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
	Eventually(t, "pebble starts", func() bool {
		resp, err := p.client.Get(p.URL) //nolint:noctx // ends with the test
		if err != nil || resp.Body.Close() != nil {
			return false
		}
		if resp, err = p.client.Get("https://" + p.manage + "/roots/0"); err != nil { //nolint:noctx // ends with the test
			return false
		}
		p.Issuer, err = io.ReadAll(resp.Body)
		return errors.Join(err, resp.Body.Close()) == nil
	})
	return p
}

// Orders counts those that Pebble took, which it logs before it answers.
func (p *Pebble) Orders(t testing.TB) int {
	t.Helper()
	return strings.Count(p.Log(t), "Added order")
}

// Log is what it has logged so far.
func (p *Pebble) Log(t testing.TB) string {
	t.Helper()
	log, err := os.ReadFile(p.out)
	if err != nil {
		t.Fatal(err)
	}
	return string(log)
}

// SetRenewal makes the CA want the certificate renewed within a window (RFC 9773).
func (p *Pebble) SetRenewal(t testing.TB, certPEM []byte, from, to time.Time) {
	t.Helper()
	info, err := json.Marshal(map[string]any{"suggestedWindow": map[string]time.Time{"start": from, "end": to}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{"Certificate": string(certPEM), "ARIResponse": string(info)})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.client.Post("https://"+p.manage+"/set-renewal-info/", "application/json", bytes.NewReader(body)) //nolint:noctx // ends with the test
	if err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("set the renewal window: %v, %v", resp, err)
	}
}

// start runs a program until the test ends, and lets it write to a file itself.
func start(t testing.TB, output, program string, args ...string) {
	t.Helper()
	out, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(program, args...) //nolint:noctx // killed below
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0", "PEBBLE_WFE_NONCEREJECT=10")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// Eventually polls for what other processes do.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(4 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s: not within 4 minutes", what)
		}
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
