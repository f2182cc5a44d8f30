package latticetest

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/terrane/terrane/internal/lattice"
)

// External is a NATS server as an operator runs it, whose users are edges. Each may do
// what lattice.Permissions says and nothing else.
type External struct {
	URL         string
	Credentials map[string]string // of each edge: a file
}

// StartJWT starts one in operator mode, where users have credentials with a JWT. It
// ends with the test. change may be nil.
func StartJWT(t testing.TB, change func(*server.Options), edges ...string) *External {
	t.Helper()
	x := &External{Credentials: map[string]string{}}
	root, rootKey := newKey(t, nkeys.CreateOperator)
	_, systemKey := newKey(t, nkeys.CreateAccount)
	account, accountKey := newKey(t, nkeys.CreateAccount)
	claims := jwt.NewAccountClaims(accountKey)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	operator := jwt.NewOperatorClaims(rootKey)
	operator.SystemAccount = systemKey
	resolver := new(server.MemAccResolver)
	for key, c := range map[string]*jwt.AccountClaims{systemKey: jwt.NewAccountClaims(systemKey), accountKey: claims} {
		token, err := c.Encode(root)
		if err := errors.Join(err, resolver.Store(key, token)); err != nil {
			t.Fatal(err)
		}
	}

	dir := t.TempDir()
	for _, name := range edges {
		user, userKey := newKey(t, nkeys.CreateUser)
		c := jwt.NewUserClaims(userKey)
		c.Name = name
		pub, sub := lattice.Permissions(name)
		c.Pub.Allow, c.Sub.Allow = pub, sub
		token, err := c.Encode(account)
		if err != nil {
			t.Fatal(err)
		}
		data, err := jwt.FormatUserConfig(token, seed(t, user))
		if err != nil {
			t.Fatal(err)
		}
		x.write(t, dir, name, data)
	}
	x.start(t, change, func(o *server.Options) {
		o.TrustedOperators, o.AccountResolver, o.SystemAccount = []*jwt.OperatorClaims{operator}, resolver, systemKey
	})
	return x
}

// StartNkeys is StartJWT where users are nkeys in the server's configuration.
func StartNkeys(t testing.TB, change func(*server.Options), edges ...string) *External {
	t.Helper()
	x := &External{Credentials: map[string]string{}}
	dir := t.TempDir()
	var users []*server.NkeyUser
	for _, name := range edges {
		user, key := newKey(t, nkeys.CreateUser)
		pub, sub := lattice.Permissions(name)
		users = append(users, &server.NkeyUser{Nkey: key, Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: pub}, Subscribe: &server.SubjectPermission{Allow: sub},
		}})
		x.write(t, dir, name, seed(t, user))
	}
	x.start(t, change, func(o *server.Options) { o.Nkeys = users })
	return x
}

func (x *External) start(t testing.TB, changes ...func(*server.Options)) {
	t.Helper()
	o := &server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, MaxPayload: lattice.MaxPayload,
		JetStream: true, StoreDir: t.TempDir(), SyncAlways: true,
	}
	for _, change := range changes {
		if change != nil {
			change(o)
		}
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready")
	}
	x.URL = s.ClientURL()
}

func (x *External) write(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	x.Credentials[name] = filepath.Join(dir, name+".creds")
	if err := os.WriteFile(x.Credentials[name], data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TLS makes an External server speak TLS.
func TLS(c *tls.Config) func(*server.Options) {
	return func(o *server.Options) { o.TLS, o.TLSConfig = true, c }
}

func newKey(t testing.TB, create func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public string) {
	t.Helper()
	pair, err := create()
	if err == nil {
		public, err = pair.PublicKey()
	}
	if err != nil {
		t.Fatal(err)
	}
	return pair, public
}

func seed(t testing.TB, pair nkeys.KeyPair) []byte {
	t.Helper()
	data, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Line leads from one edge to an External server.
type Line struct {
	URL   string
	relay *relay
}

// Line returns a new one. It ends with the test.
func (x *External) Line(t testing.TB) *Line {
	t.Helper()
	r, err := newRelay()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	r.target(func() string { return strings.TrimPrefix(x.URL, "nats://") })
	return &Line{"nats://" + r.addr(), r}
}

// Cut ends the connections and lets none pass, or lets them pass again.
func (l *Line) Cut(cut bool) { l.relay.setCut(cut) }
