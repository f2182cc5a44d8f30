package lattice_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/ask"
	"github.com/terrane/terrane/internal/lattice/cron"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/logtail"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/internal/lattice/notice"
	"github.com/terrane/terrane/internal/lattice/presence"
	"github.com/terrane/terrane/internal/lattice/state"
	"github.com/terrane/terrane/tenant"
)

// next is an edge, ams2, of the next version: it says more than this one knows.
type next struct {
	*nats.Conn
	t *testing.T
}

func (n next) say(subject, text string) {
	n.t.Helper()
	if err := n.Publish(subject, []byte(text)); err != nil {
		n.t.Error(err)
	}
}

// answer answers what comes on a subject.
func (n next) answer(subject string, answers ...*nats.Msg) {
	n.t.Helper()
	_, err := n.Subscribe(subject, func(m *nats.Msg) {
		for _, a := range answers {
			_ = m.RespondMsg(&nats.Msg{Header: a.Header, Data: a.Data}) // what is asked tells
		}
	})
	if err == nil {
		err = n.Flush()
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// again says something until it has been heard.
func (n next) again(say func(), heard func() bool) {
	n.t.Helper()
	latticetest.Await(n.t, func() bool { say(); return heard() }, nil)
}

// TestNextVersion has an edge of the next version among those of this one: what it says
// beyond what is known is ignored, and the rest is heard.
func TestNextVersion(t *testing.T) {
	l := start(t, lattice.Options{Name: "ams1", Region: "ams", Listen: "127.0.0.1:0"})
	if _, err := l.Conn(limit(t)); err != nil {
		t.Fatal(err)
	}
	at, _, _ := l.Addrs()
	conn, err := nats.Connect("nats://" + at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	n := next{conn, t}
	for name, test := range map[string]func(*lattice.Lattice, next){
		"presence": nextPresence, "notices": nextNotice, "questions": nextAsk, "logs": nextLogs, "messages": nextMessages, "cron": nextCron, "state": nextState,
		"fleet": nextFleet,
	} {
		t.Run(name, func(t *testing.T) { test(l, next{n.Conn, t}) })
	}
}

func nextPresence(l *lattice.Lattice, n next) {
	heard := make(chan presence.Store, 64)
	p, err := presence.New(presence.Options{
		Lattice: l, Self: func() presence.Edge { return presence.Edge{} },
		Heard: func(_ string, stores []presence.Store) { heard <- stores[0] },
	})
	if err != nil {
		n.t.Fatal(err)
	}
	latticetest.Run(n.t, p.Run)
	n.again(func() {
		n.say("terrane.presence.ams2", `{"format":9,"name":"ams2","instance":"x","version":"v9.0.0","ready":true,"load":{"cpu":0.5},"requests":3,
			"stores":[{"prefix":"/git/","head":"abc","signers":["x"]}],"prefixes":["192.0.2.1/32"]}`)
	}, func() bool {
		return slices.ContainsFunc(p.Edges(), func(e presence.Peer) bool {
			return e.Name == "ams2" && e.Version == "v9.0.0" && e.Ready && e.Requests == 3
		})
	})
	if got, want := <-heard, (presence.Store{Prefix: "/git/", Head: "abc"}); got != want {
		n.t.Errorf("heard %+v", got)
	}
}

func nextNotice(l *lattice.Lattice, n next) {
	heard := make(chan notice.Notice, 64)
	notices, err := notice.New(notice.Options{Lattice: l, Wake: func(n notice.Notice) { heard <- n }})
	if err != nil {
		n.t.Fatal(err)
	}
	latticetest.Run(n.t, notices.Run)
	n.again(func() {
		n.say("terrane.notice.ams2", `{"format":9,"kind":"signed","store":"/git/","revision":"abc","by":{"edge":"ams2"}}`)
	},
		func() bool { return len(heard) > 0 })
	if got := <-heard; got.Store != "/git/" || got.Revision != "abc" {
		n.t.Errorf("heard %+v", got)
	}
}

func nextAsk(l *lattice.Lattice, n next) {
	asker := ask.New(ask.Options{Lattice: l, Answers: map[string]func(context.Context, []byte) (any, error){
		"progress": func(_ context.Context, q []byte) (any, error) { return string(q), nil },
	}})
	latticetest.Run(n.t, asker.Run)
	n.answer("terrane.ask.progress", &nats.Msg{Data: []byte(`{"format":9,"edge":"ams2","data":{"live":true,"by":"x"},"took":1}`)})
	n.say("terrane.ask.horoscope", `{}`) // a part that this version does not have
	latticetest.Await(n.t, func() bool {
		ctx, cancel := context.WithTimeout(n.t.Context(), 2*time.Second)
		defer cancel()
		var edges []string
		for a, err := range asker.All(ctx, "progress", []byte("abc"), 2) {
			if err == nil {
				edges = append(edges, a.Edge)
			}
		}
		slices.Sort(edges)
		return slices.Equal(edges, []string{"ams1", "ams2"})
	}, nil)
}

func nextLogs(l *lattice.Lattice, n next) {
	logs := logtail.New(logtail.Options{
		Lattice: l, Edges: func() []string { return []string{"ams1", "ams2"} },
		Read: func(context.Context, string, int, bool) iter.Seq[logtail.Line] {
			return slices.Values([]logtail.Line{{Time: time.Now(), Text: "of ams1"}, {}})
		},
	})
	latticetest.Run(n.t, logs.Run)
	latticetest.Await(n.t, func() bool { // it is answered
		m, err := n.Request("terrane.ask.logs", []byte(`{"format":9,"id":"x`+rand.Text()+`","tenant":"/git/alice","lines":3,"levels":["WARN"]}`), time.Second)
		return err == nil && strings.Contains(string(m.Data), "of ams1")
	}, nil)
	n.answer("terrane.ask.logs",
		&nats.Msg{Data: []byte(`{"format":9,"edge":"ams2","seq":1,"line":{"time":"2020-01-01T00:00:00Z","level":"WARN","text":"of ams2","attrs":{"a":1}}}`)},
		&nats.Msg{Data: []byte(`{"edge":"ams2","seq":2,"more":false}`)})
	var texts []string
	for line := range logs.Tail(n.t.Context(), "/git/alice", 10, false) {
		texts = append(texts, line.Text)
	}
	if !slices.Equal(texts, []string{"of ams2", "of ams1"}) {
		n.t.Errorf("got %q", texts)
	}
}

func nextMessages(l *lattice.Lattice, n next) {
	const alice, bob tenant.ID = "/git/alice", "/git/bob" // ams1 serves alice, ams2 serves bob
	ran := make(chan *messages.Task, 4096)
	m, err := messages.New(messages.Options{Lattice: l, Run: func(_ context.Context, _ tenant.ID, t *messages.Task) (*messages.Answer, error) {
		ran <- t
		return &messages.Answer{Code: 200, Body: []byte("done")}, nil
	}})
	if err != nil {
		n.t.Fatal(err)
	}
	latticetest.Run(n.t, m.Run)
	m.Set(alice, &tenant.Manifest{Subscriptions: []tenant.Subscription{{Subject: "orders.*", Path: "/orders"}}})

	reply := func(state string) *nats.Msg {
		return &nats.Msg{Header: nats.Header{
			"Terrane-State": {state}, "Terrane-Code": {"201"}, "Terrane-Took": {"1ms"}, "G-X-Edge": {"ams2"},
		}, Data: []byte("by ams2")}
	}
	n.answer("terrane.msg."+token(bob)+".ask", reply("working"), reply("queued at another edge"), reply("done"))
	a, err := m.Ask(limit(n.t), bob, &messages.Task{Subject: "orders.new"})
	if err != nil || a.Code != 201 || string(a.Body) != "by ams2" || a.Header.Get("X-Edge") != "ams2" {
		n.t.Errorf("got %+v, %v", a, err)
	}
	n.say("terrane.msg."+token(alice)+".subscribe", "") // a verb that this version does not have
	subject := "terrane.msg." + token(alice) + ".ask"
	msg := &nats.Msg{Subject: subject, Reply: n.NewInbox(), Data: []byte("7"), Header: nats.Header{
		"Terrane-Hops": {"1"}, "Terrane-Subject": {"orders.new"}, "Terrane-Priority": {"high"}, "Terrane-Format": {"9"},
	}}
	n.again(func() {
		if err := n.PublishMsg(msg); err != nil {
			n.t.Error(err)
		}
	}, func() bool { return len(ran) > 0 })
	if task := <-ran; task.Subject != "orders.new" || string(task.Body) != "7" || task.Hops != 1 || task.Path != "/orders" {
		n.t.Errorf("ran %+v", task)
	}
}

// token is a tenant's in subjects.
func token(id tenant.ID) string {
	sum := sha256.Sum256([]byte(id))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

func nextCron(l *lattice.Lattice, n next) {
	const alice tenant.ID = "/git/alice"
	began := time.Now()
	fires := func() (stop func()) {
		n.t.Helper()
		ran := make(chan struct{}, 64)
		c, err := cron.New(cron.Options{
			Lattice: l, Now: func() time.Time { return began.Add(60 * time.Since(began)) },
			Ask: func(context.Context, tenant.ID, *messages.Task) (*messages.Answer, error) {
				ran <- struct{}{}
				return &messages.Answer{Code: 200}, nil
			},
		})
		if err != nil {
			n.t.Fatal(err)
		}
		c.Set(alice, &tenant.Manifest{Crons: []tenant.Cron{{Schedule: "* * * * *", Path: "/tick"}}})
		stop = latticetest.Run(n.t, c.Run)
		select {
		case <-ran:
		case <-limit(n.t).Done():
			n.t.Fatal("the line does not fire")
		}
		return stop
	}
	fires()() // then the next version leads for a while
	js, err := l.JetStream(limit(n.t))
	if err != nil {
		n.t.Fatal(err)
	}
	kv, err := js.KeyValue(limit(n.t), "terrane_cron")
	if err != nil {
		n.t.Fatal(err)
	}
	keys, err := kv.Keys(limit(n.t))
	keys = slices.DeleteFunc(keys, func(k string) bool { return !strings.HasPrefix(k, "line.") })
	if err != nil || len(keys) != 1 {
		n.t.Fatal(keys, err)
	}
	e, err := kv.Get(limit(n.t), keys[0])
	if err != nil {
		n.t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(e.Value(), &record); err != nil {
		n.t.Fatal(err)
	}
	record["format"], record["tries"] = 9, []int{1, 2}
	data, err := json.Marshal(record)
	if err == nil {
		_, err = kv.Put(limit(n.t), e.Key(), data)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	fires()
}

func nextState(l *lattice.Lattice, n next) {
	s, err := state.New(state.Options{Lattice: l, Bucket: "terrane_state"})
	if err != nil {
		n.t.Fatal(err)
	}
	latticetest.Run(n.t, s.Run)
	kv := s.KV("/git/alice", state.Near)
	if _, err := kv.Put(limit(n.t), "key", []byte("this"), 0, time.Time{}); err != nil {
		n.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	subject := "$KV.terrane_state.t" + encode([]byte("/git/alice")) + ".k" + encode([]byte("key"))
	msg := &nats.Msg{Subject: subject, Data: []byte("next"), Header: nats.Header{"Terrane-Written-By": {"ams2 v9.0.0"}, "Terrane-Format": {"9"}}}
	if err := n.PublishMsg(msg); err != nil {
		n.t.Fatal(err)
	}
	// A kind of entry, and of subject, that this version does not have.
	n.say("$KV.terrane_state.other.kind.of", "x")
	n.say("$KV.terrane_state.!", "x")
	latticetest.Await(n.t, func() bool {
		e, err := kv.Get(limit(n.t), "key")
		return err == nil && string(e.Value) == "next"
	}, nil)
	e, err := kv.Get(limit(n.t), "key")
	if err == nil {
		_, err = kv.Put(limit(n.t), "key", []byte("this again"), e.Version, time.Time{})
	}
	if err != nil {
		n.t.Error(err)
	}
	if keys, err := kv.List(limit(n.t), "", "", 10); err != nil || !slices.Equal(keys, []string{"key"}) {
		n.t.Errorf("%q, %v", keys, err)
	}
}
