package notice

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/lattice/latticetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// edge hears notices into a channel.
type edge struct {
	*Notices
	heard chan Notice
}

func run(t testing.TB, n *latticetest.Net) (edges []edge) {
	t.Helper()
	for _, node := range n.Nodes() {
		e := edge{heard: make(chan Notice, 1024)}
		var err error
		e.Notices, err = New(Options{Lattice: node, Wake: func(n Notice) { e.heard <- n }})
		if err != nil {
			t.Fatal(err)
		}
		latticetest.Run(t, e.Run)
		edges = append(edges, e)
	}
	// Each says something until all have heard it: routes and subscriptions come up by themselves.
	for i, from := range edges {
		hello := Notice{Store: fmt.Sprint("hello", i)}
		for j, to := range edges {
			if i == j {
				continue
			}
			latticetest.Await(t, func() bool {
				from.Send(hello)
				select {
				case got := <-to.heard:
					return got == hello
				default:
					return false
				}
			}, nil)
		}
	}
	for _, e := range edges {
		drain(e)
	}
	return edges
}

// drain awaits a while without notices.
func drain(e edge) {
	for {
		select {
		case <-e.heard:
		case <-time.After(2 * gap):
			return
		}
	}
}

func (e edge) wants(t testing.TB, want Notice) {
	t.Helper()
	select {
	case got := <-e.heard:
		if got != want {
			t.Errorf("heard %+v, want %+v", got, want)
		}
	case <-time.After(latticetest.Patience):
		t.Fatalf("waited in vain for %+v", want)
	}
}

func TestNoticeReachesAllEdgesOnce(t *testing.T) {
	edges := run(t, latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 2}, latticetest.Region{Name: "fra", Edges: 2}))
	note := Notice{"/git/", "abc"}
	edges[0].Send(note)
	for _, e := range edges[1:] {
		e.wants(t, note)
		e.Send(note) // it has looked, and found it
	}
	for _, e := range edges {
		drain(e)
		select {
		case got := <-e.heard:
			t.Errorf("heard %+v again", got)
		default:
		}
	}
	edges[3].Send(Notice{Store: "/git/"}) // a webhook does not know the revision, and always tells
	edges[3].Send(Notice{Store: "/git/"})
	for _, e := range edges[:3] {
		e.wants(t, Notice{Store: "/git/"})
	}
}

func TestFloodsAreBounded(t *testing.T) {
	edges := run(t, latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}))
	e := edges[0]
	for i := range 1000 {
		e.hear("peer", fmt.Appendf(nil, `{"store":"/git/","revision":"%d"}`, i))
	}
	if n := len(e.heard); n < burst || n > burst+perSecond {
		t.Errorf("a flood of 1000 notices woke the stores %d times", n)
	}
	for i := range 2 * maxPeers {
		e.hear(fmt.Sprint("peer", i), []byte(`{"store":"/git/"}`))
		<-e.heard
	}
	if len(e.peers) > maxPeers {
		t.Errorf("%d peers are remembered", len(e.peers))
	}
	for i := range 2 * maxStores {
		e.Send(Notice{Store: fmt.Sprint("/", i, "/")})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.todo) > maxStores || len(e.known) > maxStores {
		t.Errorf("%d stores wait, %d are remembered", len(e.todo), len(e.known))
	}
}

func TestPeersAreNotTrusted(t *testing.T) {
	n, err := New(Options{Lattice: latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}).Node("ams1"), Wake: func(n Notice) { t.Errorf("woken for %+v", n) }})
	if err != nil {
		t.Fatal(err)
	}
	bad := []string{``, `[]`, `{}`, `{"store":""}`, fmt.Sprintf(`{"store":"/git/","revision":"%0300d"}`, 1), fmt.Sprintf(`{"store":"%05000d"}`, 1)}
	for _, data := range bad {
		n.hear("peer", []byte(data))
	}
	if got := testutil.ToFloat64(n.count.WithLabelValues("refused")); got != float64(len(bad)) {
		t.Errorf("refused %v of %d", got, len(bad))
	}
	n.hear("ams1", []byte(`{"store":"/git/"}`)) // our own echo
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"store":"/git/","revision":"abc","later":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, ok := parse(data); ok && (n.Store == "" || len(n.Store)+len(n.Revision) > maxMessage) {
			t.Errorf("%+v", n)
		}
	})
}

// BenchmarkNotice is the time from Send until the last edge is woken: three edges in
// one region and one in another, all on this machine.
func BenchmarkNotice(b *testing.B) {
	edges := run(b, latticetest.Start(b, latticetest.Region{Name: "ams", Edges: 3}, latticetest.Region{Name: "fra", Edges: 1}))
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		<-time.After(gap) // bursts become one notice: that wait is not measured
		b.StartTimer()
		edges[0].Send(Notice{"/git/", strconv.Itoa(i)})
		for _, e := range edges[1:] {
			<-e.heard
		}
	}
}
