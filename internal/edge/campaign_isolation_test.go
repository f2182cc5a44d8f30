package edge_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/campaign"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/tenant"
)

// resident is one of those that are to see nothing of each other.
type resident struct {
	id     tenant.ID
	host   string
	secret string // in all that it stores, logs and sends
	key    string // that it has stored
}

// neighborhood is two edges with tenants whose names an encoding could take for each other's.
type neighborhood struct {
	t         *testing.T
	edges     []*edgetest.Edge
	residents []resident
	seen      int // bytes of another's secrets
}

var planted = regexp.MustCompile(`SECRET-[0-9]+-[0-9a-f]{16}`)

// call runs a function of the ABI as a resident at an edge.
func (n *neighborhood) call(e *edgetest.Edge, r *resident, op byte, key, value string) (code int, body string) {
	text := append([]byte{op}, binary.LittleEndian.AppendUint16(nil, uint16(len(key)))...)
	return e.Send(http.MethodPost, "", r.host, "/probe.wasm", string(text)+key+value)
}

// check counts what text has of the secrets of others than r, who may be nobody.
func (n *neighborhood) check(text string, r *resident, where string, args ...any) {
	for _, found := range planted.FindAllString(text, -1) {
		if r == nil || found != r.secret {
			n.seen += len(found)
			n.t.Errorf("%s: %.300q has another's %s", fmt.Sprintf(where, args...), text, found)
		}
	}
}

// startNeighborhood plants the secrets.
func startNeighborhood(t *testing.T) *neighborhood {
	t.Helper()
	n := &neighborhood{t: t}
	g := edgetest.NewGitStore(t)
	long := strings.Repeat("long", 50)
	names := []string{
		"alice", "alice2", "ali", "Alice", "alice.", "alice.x", "alice-x", "alice_x", "al.ice", "alice*", "*", ">", "alice>", "$KV",
		"alice x", "alicé", "alice\u0301", long + "1", long + "2", "dGFsaWNl", "preview", "alice,x",
	}
	guest := string(edgetest.File(t, "cmd/terrane/testdata/guests/probe.wasm"))
	manifest := func(r *resident) string {
		return fmt.Sprintf("env = { SECRET = %q }\n[[subscribe]]\nsubject = \">\"\npath = \"/probe.wasm\"\n", r.secret)
	}
	for i, name := range names {
		r := resident{id: tenant.ID("/git/" + name), host: fmt.Sprintf("t%d.example", i)}
		if id, err := tenant.ParseID(string(r.id)); err != nil || id != r.id {
			t.Fatal(id, err)
		}
		n.residents = append(n.residents, r)
	}
	for i := range 2 { // of alice, and of alice2
		of := n.residents[i]
		n.residents = append(n.residents, resident{id: of.id.Preview("xyz"), host: fmt.Sprintf("xyz--t%d-example.preview.test", i)})
	}
	for i := range n.residents {
		r := &n.residents[i]
		r.secret, r.key = fmt.Sprintf("SECRET-%d-%016x", i, rand.Uint64()), fmt.Sprintf("key%d", i)
		of, _, preview := r.id.CutPreview()
		if preview && i == len(names) { // one branch has all previews
			g.PushTo("main", "README", "tenants")
		}
		dir := filepath.Join(g.Dir, "work", strings.TrimPrefix(string(of), "/git/"))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"probe.wasm": guest, "terrane.toml": manifest(r)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.PushTo("preview/xyz", "README", "previews")
	f := edgetest.StartFleet(t, func(c *config.Config) {
		g.Store(100 * time.Millisecond)(c)
		c.Preview.Domain, c.State.Home = "preview.test", "ams"
	})
	n.edges = []*edgetest.Edge{f.Hub, f.Join("fra1", t.TempDir())}
	for _, e := range n.edges {
		for i := range names {
			e.Domain(n.residents[i].host, "terrane="+string(n.residents[i].id)+"/")
		}
		for i := range n.residents {
			r := &n.residents[i]
			var code int
			var body string
			e.Await("the guest of "+string(r.id), func() bool {
				code, body = n.call(e, r, 'e', "SECRET", "")
				return code == http.StatusOK && body == r.secret
			})
			n.call(e, r, 'i', r.key, r.secret)
			n.call(e, r, 'o', "", r.secret)
			e.Await("a message of "+string(r.id), func() bool { // kept, and handled by its own module
				code, _ = n.call(e, r, 'p', "orders.new", "o\x00\x00"+r.secret)
				return code == http.StatusOK && strings.Contains(fmt.Sprint(e.Lines(r.id)), r.secret)
			})
		}
	}
	return n
}

// hostile is a key, a prefix or a subject by which a resident tries to reach another.
func hostile(victim *resident) string {
	name := string(victim.id)
	b64 := base64.RawURLEncoding.EncodeToString
	token, key := "t"+b64([]byte(name)), "k"+b64([]byte(victim.key))
	of, preview, _ := victim.id.CutPreview()
	list := []string{
		"", victim.key, "\x00", "\x00" + victim.key, "*", ">", "k*", ".", "..", "../" + name + "/" + victim.key, name, name + "/", name + "/" + victim.key,
		name + "\x00" + victim.key, name + "." + victim.key, token, token + "." + key, "." + token + "." + key, "../" + token + "." + key, token + ".*", token + ".>",
		"$KV.terrane_state." + token + "." + key, "$KV.terrane_state.>", "KV_terrane_state", "$JS.API.>", key, "barrier", "\xff", "\xff\xfe" + victim.key,
		string(of) + "/.preview/" + preview + "/" + victim.key, ".preview/" + preview, "_INBOX.>", "terrane.>", "terrane.messages." + token + ".orders.new",
		"orders.new", "orders.*", token + ".orders.new", strings.ToUpper(victim.key), "SECRET",
		victim.key + "\x00", victim.key + "\r\nNats-TTL: 1", victim.key + " ", strings.Repeat("../", rand.IntN(9)) + victim.key, key + ".." + key,
	}
	s := list[rand.IntN(len(list))]
	if rand.IntN(8) == 0 && s != "" { // cut, or with a byte that is another one
		b := []byte(s)
		b[rand.IntN(len(b))] = byte(rand.IntN(256))
		s = string(b[:1+rand.IntN(len(b))])
	}
	return s
}

// wrongNames are names of residents as a hurried or hostile operator's client may write them.
func wrongNames(of tenant.ID) []string {
	s := string(of)
	return []string{
		s, s + "/", s + "/x", s + "x", s[:len(s)-1], s + "*", s + ".>", "/git/*", "/git/>", "/git", "/git/", "/", "", strings.ToUpper(s), strings.ToLower(s), s + "\x00",
		s + "/../alice", "/git/../git/alice", "/git//alice", s + ".", s + " ", s + "/.preview/xyz", s + "/.preview/", s + "/.preview/xyz/", s + "/.preview/xyzz", "git/alice",
	}
}

// TestCampaignIsolation has tenants, their previews and their neighbors try to see, change
// and remove what is another's, by all functions for state and messages, at either edge.
func TestCampaignIsolation(t *testing.T) {
	tries := campaign.Tries(200, 20_000)
	n := startNeighborhood(t)
	const ops = "gvlqgvlqpoiuawnre"
	for try := range tries {
		e, r, victim := n.edges[try%2], &n.residents[rand.IntN(len(n.residents))], &n.residents[rand.IntN(len(n.residents))]
		if r == victim {
			continue
		}
		op, key, value := ops[rand.IntN(len(ops))], hostile(victim), r.secret
		switch op {
		case 'l':
			value = "" // all behind it
			if rand.IntN(2) == 0 {
				value = hostile(victim)
			}
		case 'q', 'p': // a module that is asked does for its tenant what the message says
			asks := [...]string{"g", "l", "v", "e"}[rand.IntN(4)]
			if op == 'p' {
				asks = "o"
			}
			if rand.IntN(2) == 0 {
				key = "orders.new"
			}
			what := hostile(victim)
			value = asks + string(binary.LittleEndian.AppendUint16(nil, uint16(len(what)))) + what + r.secret
		}
		_, body := n.call(e, r, op, key, value)
		n.check(body, r, "%s: %c %q", r.id, op, key)
		if try%50 == 0 {
			n.ask(e, victim)
		}
	}
	for _, e := range n.edges {
		for i := range n.residents {
			r := &n.residents[i]
			if code, body := n.call(e, r, 'g', r.key, ""); code != http.StatusOK || body != r.secret {
				t.Errorf("%s: its own %s is %d %.200q: another has changed it", r.id, r.key, code, body)
			}
			n.ask(e, r)
		}
	}
	campaign.Row(t, "tenants, previews and neighbors with names alike try each other's state, messages, environment and logs, at two edges", tries,
		fmt.Sprintf("%d bytes of another's seen, by guests or under a wrong name by an operator; 0 keys changed", n.seen))
}

// ask has an operator ask for a resident's state and logs under names that are nearly its own.
func (n *neighborhood) ask(e *edgetest.Edge, victim *resident) {
	n.t.Helper()
	for _, name := range wrongNames(victim.id) {
		var owner *resident
		id, err := tenant.ParseIDOrPreview(name)
		for i := range n.residents {
			if err == nil && n.residents[i].id == id {
				owner = &n.residents[i]
			}
		}
		q := "tenant=" + url.QueryEscape(name)
		for _, path := range []string{"/kv?" + q, "/kv?prefix=&after=&" + q, "/kv/entry?key=" + victim.key + "&" + q, "/logs?lines=1000&" + q} {
			if code, body := e.Get(path); code == http.StatusOK {
				n.check(body, owner, "an operator's %s", path)
			} else {
				n.check(body, nil, "the refusal of %s", path)
			}
		}
	}
}
