package lattice

import (
	"crypto/subtle"
	"encoding/base64"
	"slices"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// Permissions are the subjects that the edge of this name may publish and
// subscribe to. An operator's NATS should grant it no more.
func Permissions(edge string) (publish, subscribe []string) {
	return []string{
			"terrane.*." + edge, "terrane.*." + edge + ".>", // what it says in its own name
			"terrane.ask.>", "terrane.msg.>", "terrane.place.>", // what it asks of others
			"$JS.API.>", "$JS.*.API.>", "$JS.ACK.>", "$JS.FC.>", "$KV.>", "_INBOX.>",
		}, []string{
			"terrane.>", "_INBOX.>",
		}
}

// regionPermissions are those of a leaf node, which speaks for a region, and whose
// streams mirror those here.
func regionPermissions() *server.Permissions {
	allow := []string{"terrane.>", "_INBOX.>", "$JS.*.API.>", "$JS.ACK.>", "$JS.FC.>", "$JS.M.>", "$JS.S.>", "$JSC.R.>", "_GR_.>", "_R_.>"}
	return &server.Permissions{Publish: &server.SubjectPermission{Allow: allow}, Subscribe: &server.SubjectPermission{Allow: allow}}
}

// guard decides who connects to the embedded server. It is called concurrently.
type guard struct {
	own   string              // token of this process's own connection
	name  string              // of this edge
	peers map[string]string   // public nkey -> name
	open  func(kind int) bool // whether anybody may connect: where loopback asks for nothing

	system func() *server.Account // of the cluster's servers; see Lattice.System
}

// Check implements server.Authentication.
func (g *guard) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	if subtle.ConstantTimeCompare([]byte(o.Token), []byte(g.own)) == 1 {
		register(c, g.name)
		return true
	}
	if subtle.ConstantTimeCompare([]byte(o.Token), []byte(systemToken(g.own))) == 1 {
		c.RegisterUser(&server.User{Username: g.name, Account: g.system()})
		return true
	}
	if name, err := certName(c.GetTLSConnectionState()); err == nil {
		register(c, name)
		return true
	}
	if name, ok := g.peers[o.Nkey]; ok && signed(o, c.GetNonce()) {
		register(c, name)
		return true
	}
	if g.open(c.Kind()) {
		register(c, "*")
		return true
	}
	return false
}

func register(c server.ClientAuthentication, name string) {
	u := &server.User{Username: name, Permissions: regionPermissions()}
	if c.Kind() != server.LEAF {
		pub, sub := Permissions(name)
		u.Permissions = &server.Permissions{
			Publish: &server.SubjectPermission{Allow: pub}, Subscribe: &server.SubjectPermission{Allow: sub},
		}
	}
	c.RegisterUser(u)
}

// signed reports whether the client holds the seed of its nkey.
func signed(o *server.ClientOpts, nonce []byte) bool {
	key, err := nkeys.FromPublicKey(o.Nkey)
	if err != nil {
		return false
	}
	return slices.ContainsFunc([]*base64.Encoding{base64.RawURLEncoding, base64.StdEncoding}, func(e *base64.Encoding) bool {
		sig, err := e.DecodeString(o.Sig)
		return err == nil && key.Verify(nonce, sig) == nil
	})
}
