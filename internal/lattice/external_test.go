package lattice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/kvtest"
	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/internal/certs/storage"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/ask"
	"github.com/terrane/terrane/internal/lattice/cron"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/logtail"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/internal/lattice/notice"
	"github.com/terrane/terrane/internal/lattice/placement"
	"github.com/terrane/terrane/internal/lattice/presence"
	"github.com/terrane/terrane/internal/lattice/state"
	"github.com/terrane/terrane/internal/lattice/ticket"
	"github.com/terrane/terrane/tenant"
)

// TestOperatorsNATS runs all that edges of two regions do on a server that the operator
// runs, where they may do what is documented and no more.
func TestOperatorsNATS(t *testing.T) {
	ca := newAuthority(t)
	serverTLS := ca.serverConfig("nats")
	for name, x := range map[string]*latticetest.External{
		"JWT":           latticetest.StartJWT(t, nil, "ams1", "fra1"),
		"nkeys and TLS": latticetest.StartNkeys(t, latticetest.TLS(serverTLS), "ams1", "fra1"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := keptLog(t)
			var edges []*lattice.Lattice
			for _, region := range []string{"ams", "fra"} {
				o := lattice.Options{
					Name: region + "1", Region: region, URLs: []string{x.URL}, Credentials: x.Credentials[region+"1"], Logger: slog.New(log),
				}
				if strings.Contains(name, "TLS") {
					o.TLS.CA = filepath.Join(ca.dir, "ca.crt")
				}
				l, err := lattice.New(o)
				if err != nil {
					t.Fatal(err)
				}
				latticetest.Run(t, l.Run)
				edges = append(edges, l)
			}
			t.Run("words", func(t *testing.T) { t.Parallel(); words(t, edges[0], edges[1]) })
			t.Run("questions", func(t *testing.T) { t.Parallel(); questions(t, edges[0], edges[1]) })
			t.Run("state", func(t *testing.T) { keepsState(t, edges[0], edges[1]) })
			t.Run("tasks", func(t *testing.T) { t.Parallel(); doesTasks(t, edges[0], edges[1]) })
			t.Run("placement", func(t *testing.T) { t.Parallel(); passesOn(t, edges[0], edges[1]) })
			t.Cleanup(func() { // of the parallel tests
				if line, ok := log.find("ermissions"); ok {
					t.Errorf("something was not permitted: %s", line)
				}
				mayNot(t, edges[0])
			})
		})
	}
}

// words are presence, notices and session-ticket keys.
func words(t *testing.T, a, b *lattice.Lattice) {
	heard := make(chan notice.Notice, 64)
	var keys [2]atomic.Pointer[[][32]byte]
	var notices []*notice.Notices
	var there []*presence.Presence
	for i, l := range []*lattice.Lattice{a, b} {
		p, err := presence.New(presence.Options{Lattice: l, Self: func() presence.Edge { return presence.Edge{Ready: true} }})
		if err != nil {
			t.Fatal(err)
		}
		n, err := notice.New(notice.Options{Lattice: l, Wake: func(n notice.Notice) { heard <- n }})
		if err != nil {
			t.Fatal(err)
		}
		k, err := ticket.New(ticket.Options{Lattice: l, Secret: make([]byte, 32), Set: func(list [][32]byte) { keys[i].Store(&list) }})
		if err != nil {
			t.Fatal(err)
		}
		for _, run := range []func(context.Context) error{p.Run, n.Run, k.Run} {
			latticetest.Run(t, run)
		}
		notices, there = append(notices, n), append(there, p)
	}
	for _, p := range there {
		latticetest.Await(t, func() bool { return len(p.Edges()) == 2 }, nil)
	}
	for i, n := range notices {
		note := notice.Notice{Store: fmt.Sprint("/", i, "/")}
		latticetest.Await(t, func() bool {
			n.Send(note) // until the other has subscribed
			select {
			case got := <-heard:
				return got == note
			default:
				return false
			}
		}, nil)
	}
	latticetest.Await(t, func() bool {
		one, two := keys[0].Load(), keys[1].Load()
		return one != nil && two != nil && slices.Equal(*one, *two)
	}, nil)
}

// questions are those to all edges, and logs.
func questions(t *testing.T, a, b *lattice.Lattice) {
	for _, l := range []*lattice.Lattice{a, b} {
		latticetest.Run(t, ask.New(ask.Options{Lattice: l, Answers: map[string]func(context.Context, []byte) (any, error){
			"progress": func(context.Context, []byte) (any, error) { return l.Name(), nil },
		}}).Run)
	}
	asker := ask.New(ask.Options{Lattice: a})
	latticetest.Await(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		n := 0
		for _, err := range asker.All(ctx, "progress", nil, 2) {
			if err == nil {
				n++
			}
		}
		return n == 2
	}, nil)

	var logs []*logtail.Logs
	for _, l := range []*lattice.Lattice{a, b} {
		own := logtail.New(logtail.Options{
			Lattice: l, Edges: func() []string { return []string{a.Name(), b.Name()} },
			Read: func(_ context.Context, _ string, _ int, _ bool) iter.Seq[logtail.Line] {
				return slices.Values([]logtail.Line{{Time: time.Now(), Text: "of " + l.Name()}, {}})
			},
		})
		latticetest.Run(t, own.Run)
		logs = append(logs, own)
	}
	latticetest.Await(t, func() bool {
		var texts []string
		for line := range logs[1].Tail(t.Context(), "/git/alice", 10, false) {
			texts = append(texts, line.Text)
		}
		slices.Sort(texts)
		return slices.Equal(texts, []string{"of ams1", "of fra1"})
	}, nil)
}

// keepsState is tenants' state, and certificates.
func keepsState(t *testing.T, a, b *lattice.Lattice) {
	open := func(l *lattice.Lattice, bucket string) *state.Store {
		s, err := state.New(state.Options{Lattice: l, Bucket: bucket, Logger: latticetest.Logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		latticetest.Run(t, s.Run)
		latticetest.Await(t, func() bool { _, err := s.KV("/git/nobody", state.Near).List(limit(t), "", "", 1); return err == nil }, nil)
		return s
	}
	var n atomic.Int32
	one, two := open(a, "terrane_state"), open(b, "terrane_state")
	if _, err := one.KV("/git/alice", state.Near).Put(limit(t), "key", []byte("value"), 0, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if e, err := two.KV("/git/alice", state.Strict).Get(limit(t), "key"); err != nil || string(e.Value) != "value" {
		t.Errorf("%q, %v", e.Value, err)
	}
	kvtest.Run(t, func(*testing.T) hostcalls.KV { return two.KV(fmt.Sprint("/git/", n.Add(1)), state.Near) })
	ca, cb := open(a, "terrane_certs"), open(b, "terrane_certs")
	certstest.RunShared(t, 2*time.Second, func(*testing.T) (hostcalls.KV, hostcalls.KV) {
		name := fmt.Sprint("certs", n.Add(1))
		refreshed := func(s *state.Store) hostcalls.KV {
			return storage.Refreshed(s.KV(name, state.Near), func(ctx context.Context) error { return s.Refresh(ctx, name) })
		}
		return refreshed(ca), refreshed(cb)
	})
}

// doesTasks is messages among guests, and cron. Bob keeps to fra.
func doesTasks(t *testing.T, a, b *lattice.Lattice) {
	const alice, bob tenant.ID = "/git/alice", "/git/bob"
	done := make(chan string, 64)
	orders := []tenant.Subscription{{Subject: "orders.*", Path: "/orders"}}
	manifests := map[tenant.ID]*tenant.Manifest{
		alice: {Subscriptions: orders, Crons: []tenant.Cron{{Schedule: "* * * * *", Path: "/tick"}}},
		bob:   {Subscriptions: orders, Crons: []tenant.Cron{{Schedule: "* * * * *", Path: "/tick"}}, Regions: []string{"fra"}},
	}
	began := time.Now()
	var edges []*messages.Messages
	for _, l := range []*lattice.Lattice{a, b} {
		m, err := messages.New(messages.Options{
			Lattice: l, Logger: latticetest.Logger(t),
			Run: func(_ context.Context, id tenant.ID, task *messages.Task) (*messages.Answer, error) {
				if manifests[id].Regions != nil && l.Region() != "fra" {
					return nil, errors.New("not here")
				}
				select {
				case done <- fmt.Sprint(l.Name(), " ", id, " ", task.Path, " ", string(task.Body)):
				default:
				}
				return &messages.Answer{Code: 200}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		c, err := cron.New(cron.Options{
			Lattice: l, Ask: m.Ask, Logger: latticetest.Logger(t),
			Now: func() time.Time { return began.Add(30 * time.Since(began)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		latticetest.Run(t, m.Run)
		latticetest.Run(t, c.Run)
		for id, manifest := range manifests {
			m.Set(id, manifest)
			c.Set(id, manifest)
		}
		edges = append(edges, m)
	}
	awaits := func(want string) {
		t.Helper()
		for late := time.After(latticetest.Patience); ; {
			select {
			case got := <-done:
				if strings.HasSuffix(got, want) {
					return
				}
			case <-late:
				t.Fatalf("waited in vain for %q", want)
			}
		}
	}
	awaits(string(alice) + " /tick ")
	awaits("fra1 " + string(bob) + " /tick ")
	for i, l := range []*lattice.Lattice{a, b} { // each region keeps its own
		body := []byte(l.Name())
		latticetest.Await(t, func() bool { // until the stream is there
			return edges[i].Of(alice, manifests[alice]).Publish(limit(t), &hostcalls.Message{Subject: "orders.new", Body: body}) == nil
		}, nil)
		awaits(l.Name() + " " + string(alice) + " /orders " + l.Name())
	}
	if _, err := edges[0].Ask(limit(t), bob, &messages.Task{Subject: "orders.new", Body: []byte("asked")}); err != nil {
		t.Error(err)
	}
	awaits("fra1 " + string(bob) + " /orders asked")
}

// passesOn is a connection to another region.
func passesOn(t *testing.T, a, b *lattice.Lattice) {
	latticetest.Run(t, placement.New(placement.Options{Lattice: b, Serve: func(ctx context.Context, ln net.Listener) error {
		defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
		for {
			c, err := ln.Accept()
			if err != nil {
				return nil //nolint:nilerr // ctx has ended
			}
			_, err = io.Copy(c, io.LimitReader(c, 1<<20))
			if err := errors.Join(err, c.Close()); err != nil {
				return err
			}
		}
	}}).Run)
	from := placement.New(placement.Options{Lattice: a})
	var c net.Conn
	latticetest.Await(t, func() (ok bool) {
		var err error
		c, err = from.Dial(limit(t), "fra")
		return err == nil
	}, nil)
	sent := make([]byte, 1<<20)
	go func() { _, _ = c.Write(sent) }() // what arrives tells
	got, err := io.ReadAll(io.LimitReader(c, 1<<20))
	if err := errors.Join(err, c.Close()); err != nil || len(got) != len(sent) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// beyond are subjects that the edge ams1 may not publish to or subscribe to.
var beyond = struct{ publish, subscribe []string }{
	[]string{
		"terrane.presence.fra1", "terrane.notice.fra1", "terrane.ticket.fra1", "terrane.presence", "terrane", "other",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$SYS.ACCOUNT.X.CONNECT", "$JSC.R.x", "$JS.M.x", "_R_.x", "$NRG.x",
	},
	[]string{">", "*", "$SYS.>", "$JS.>", "$JS.API.>", "$KV.>", "$KV.terrane_state.>", "$JS.ACK.>", "_R_.>", "$NRG.>", "other"},
}

// mayNot wants ams1 to be refused all that is beyond it.
func mayNot(t *testing.T, l *lattice.Lattice) {
	t.Helper()
	conn, err := l.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan string, 64)
	conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err.Error() })
	wants := func(what, subject string) {
		t.Helper()
		for late := time.After(latticetest.Patience); ; {
			select {
			case got := <-refused:
				if strings.Contains(got, what+` to "`+subject+`"`) {
					return
				}
			case <-late:
				t.Errorf("%s to %q is permitted", what, subject)
				return
			}
		}
	}
	for _, subject := range beyond.publish {
		if err := conn.Publish(subject, nil); err != nil {
			t.Error(err)
		}
		wants("Publish", subject)
	}
	for _, subject := range beyond.subscribe {
		if _, err := conn.SubscribeSync(subject); err != nil {
			t.Error(err)
		}
		wants("Subscription", subject)
	}
}
