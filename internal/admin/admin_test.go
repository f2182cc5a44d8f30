package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/lattice/logtail"
	"github.com/terrane/terrane/internal/lattice/members"
	"github.com/terrane/terrane/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs an admin server and returns its base URL.
func start(t *testing.T, o admin.Options) string {
	t.Helper()
	s, err := admin.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	<-s.Bound()
	return "http://" + s.Addr().String()
}

func get(t *testing.T, url string, header ...string) (int, string) {
	t.Helper()
	return ask(t, http.MethodGet, url, header...)
}

func ask(t *testing.T, method, url string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func ready() (bool, []string) { return true, nil }

func TestShows(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "terrane_test_things_count"}, func() float64 { return 7 }))
	missing := []string{"store: not mirrored yet", "https: no answer"}
	fit := func() (bool, []string) { return len(missing) == 0, missing }
	url := start(t, admin.Options{Listen: "127.0.0.1:0", Gatherer: reg, Ready: fit, Status: map[string]func() any{
		"edge": func() any { return map[string]string{"name": "ams1"} },
	}})
	for _, tt := range []struct {
		path   string
		header []string
		code   int
		want   string
	}{
		{"/metrics", nil, 200, "terrane_test_things_count 7"},
		{"/healthz", nil, 200, "ok"},
		{"/readyz", nil, 503, "not ready\nstore: not mirrored yet\nhttps: no answer\n"},
		{"/readyz", []string{"Accept", "application/json"}, 503, `"https: no answer"`},
		{"/status", nil, 200, `"name": "ams1"`},
		{"/", nil, 404, ""},
	} {
		if code, body := get(t, url+tt.path, tt.header...); code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %q, want %d with %q", tt.path, code, body, tt.code, tt.want)
		}
	}
	_, body := get(t, url+"/status")
	var status struct {
		Ready bool
		Unmet []string
	}
	if err := json.Unmarshal([]byte(body), &status); err != nil || status.Ready || len(status.Unmet) != 2 {
		t.Errorf("%v: %+v", err, status)
	}
	missing = nil
	if code, body := get(t, url+"/readyz"); code != http.StatusOK || body != "ready\n" {
		t.Errorf("%d %q", code, body)
	}
}

func TestStatusThatCannotBeEncoded(t *testing.T) {
	url := start(t, admin.Options{Listen: "127.0.0.1:0", Ready: ready, Status: map[string]func() any{
		"bad": func() any { return make(chan int) },
	}})
	if code, _ := get(t, url+"/status"); code != http.StatusInternalServerError {
		t.Errorf("status %d", code)
	}
	if code, _ := get(t, url+"/metrics"); code != http.StatusNotFound {
		t.Errorf("metrics without a gatherer: %d", code)
	}
}

// routes are announced until they are drained.
type routes struct{ drained *int }

func (r routes) Drain(context.Context) error { *r.drained++; return nil }

func (routes) Undrain() error { return errors.New("nothing is drained") }

// cluster has the member ams1, which is heard.
type cluster struct{}

func (cluster) Forget(_ context.Context, edge string, o members.Override) error {
	switch {
	case edge == "ams1" && !o.Heard:
		return members.ErrHeard
	case edge == "ams2" && o.Majority:
		return members.ErrNoMember
	case edge == "ams3" && !o.Majority:
		return errors.New("no leader")
	}
	return nil
}

func (cluster) Look(context.Context) members.Status { return members.Status{Problem: "looked"} }

func TestDoctorAndActions(t *testing.T) {
	var done int
	url := start(t, admin.Options{
		Listen: "127.0.0.1:0", Ready: ready,
		Doctor: func(_ context.Context, h tenant.Host) *admin.Examination {
			return &admin.Examination{Problem: string(h)}
		},
		Routes:  routes{&done},
		Members: cluster{},
		Repair: func(_ context.Context, acceptLoss bool) error {
			if acceptLoss {
				return errors.New("nothing is lost")
			}
			return nil
		},
	})
	for _, tt := range []struct {
		method, path string
		header       []string
		code         int
		want         string
	}{
		{"GET", "/doctor?host=Example.COM", nil, 200, `"problem": "example.com"`},
		{"GET", "/doctor?host=a..b", nil, 400, "not a domain name"},
		{"POST", "/drain", nil, 200, "done"},
		{"POST", "/undrain", nil, 409, "nothing is drained"},
		{"GET", "/drain", nil, 405, ""},
		{"POST", "/lattice/repair", nil, 200, "done"},
		{"POST", "/lattice/repair/accept-loss", nil, 409, "nothing is lost"},
		{"POST", "/lattice/forget?edge=ams1", nil, 409, "heard"},
		{"POST", "/lattice/forget?edge=ams1&heard=1", nil, 200, `"problem": "looked"`},
		{"POST", "/lattice/forget?edge=ams2&majority=0", nil, 404, "no such member"},
		{"POST", "/lattice/forget?edge=ams3", nil, 503, "no leader"},
		{"GET", "/lattice/forget?edge=ams1", nil, 405, ""},
		{"POST", "/drain", []string{"Origin", "http://evil.example"}, 403, ""},
		{"POST", "/drain", []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"GET", "/status", []string{"Host", "evil.example:9180"}, 403, "by its address"},
		{"GET", "/status", []string{"Host", "localhost:9180"}, 200, ""},
	} {
		if code, body := ask(t, tt.method, url+tt.path, tt.header...); code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s %v: %d %q, want %d with %q", tt.method, tt.path, tt.header, code, body, tt.code, tt.want)
		}
	}
	if done != 1 {
		t.Errorf("drained %d times, want once", done)
	}
}

func TestReleases(t *testing.T) {
	var asked []string
	url := start(t, admin.Options{
		Listen: "127.0.0.1:0", Ready: ready,
		Releases: func(id tenant.ID) ([]admin.Release, error) {
			if id != "/git/alice" {
				return nil, errors.New("nobody")
			}
			return []admin.Release{{Revision: "one"}}, nil
		},
		Rollback: func(_ context.Context, id tenant.ID, rev tenant.Revision, by, reason string) error {
			if _, _, err := net.SplitHostPort(by); err == nil {
				by = "an address"
			}
			asked = append(asked, string(id)+" "+string(rev)+" "+by+" "+reason)
			if rev == "bad" {
				return errors.New("not known here")
			}
			return nil
		},
	})
	for _, tt := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/releases?tenant=/git/alice", 200, `"one"`},
		{"GET", "/releases?tenant=/git/bob", 404, "nobody"},
		{"GET", "/releases?tenant=bob", 400, "tenant: "},
		{"POST", "/releases?tenant=/git/alice", 405, ""},
		{"POST", "/rollback?tenant=/git/alice/&revision=good&by=op%0a@host&reason=it+fails", 200, "done"},
		{"POST", "/rollback?tenant=/git/alice&revision=bad", 409, "not known here"},
		{"POST", "/rollback?revision=good", 400, "tenant: "},
		{"GET", "/rollback?tenant=/git/alice&revision=good", 405, ""},
	} {
		if code, body := ask(t, tt.method, url+tt.path); code != tt.code || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s: %d %q, want %d with %q", tt.method, tt.path, code, body, tt.code, tt.want)
		}
	}
	if got := strings.Join(asked, ","); got != "/git/alice good op@host it fails,/git/alice bad an address " {
		t.Errorf("asked for %q", got)
	}
}

func TestToken(t *testing.T) {
	url := start(t, admin.Options{Listen: "127.0.0.1:0", Token: "s3cret", Ready: ready})
	for _, tt := range []struct {
		path, auth string
		code       int
	}{
		{"/healthz", "", 200},
		{"/readyz", "", 401},
		{"/status", "", 401},
		{"/status", "Bearer wrong", 401},
		{"/status", "Basic s3cret", 401},
		{"/status", "Bearer ", 401},
		{"/status", "Bearer s3cret", 200},
		{"/status", "bearer s3cret", 200},
	} {
		if code, _ := get(t, url+tt.path, "Authorization", tt.auth); code != tt.code {
			t.Errorf("%s with %q: %d, want %d", tt.path, tt.auth, code, tt.code)
		}
	}
}

func TestLogs(t *testing.T) {
	more := make(chan string)
	url := start(t, admin.Options{Listen: "127.0.0.1:0", Ready: ready,
		Logs: func(ctx context.Context, id tenant.ID, lines int, follow bool) iter.Seq[logtail.Line] {
			return func(yield func(logtail.Line) bool) {
				if !yield(logtail.Line{Edge: "ams1", Text: fmt.Sprint(id, " ", lines)}) || !follow {
					return
				}
				for {
					select {
					case text := <-more:
						if !yield(logtail.Line{Text: text}) {
							return
						}
					case <-ctx.Done():
						return
					}
				}
			}
		}})
	for query, want := range map[string]struct {
		code int
		body string
	}{
		"?tenant=/git/alice":          {200, `{"edge":"ams1","time":"0001-01-01T00:00:00Z","level":"INFO","text":"/git/alice 100"}` + "\n"},
		"?tenant=/git/alice&lines=7":  {200, `{"edge":"ams1","time":"0001-01-01T00:00:00Z","level":"INFO","text":"/git/alice 7"}` + "\n"},
		"?tenant=alice":               {400, "tenant: "},
		"?tenant=/git/alice&lines=no": {400, "lines: "},
	} {
		if code, body := get(t, url+"/logs"+query); code != want.code || !strings.HasPrefix(body, want.body) {
			t.Errorf("%s: %d %q", query, code, body)
		}
	}
	// A stream that is followed neither waits for more to be shown, nor holds up the end.
	resp, err := http.Get(url + "/logs?tenant=/git/alice&follow=1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewScanner(resp.Body)
	lines.Scan()
	more <- "new"
	if lines.Scan(); !strings.Contains(lines.Text(), `"text":"new"`) {
		t.Errorf("got %q", lines.Text())
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct{ listen, token, want string }{
		{"127.0.0.1:0", "", ""},
		{"[::1]:0", "", ""},
		{"0.0.0.0:0", "", "token: want a token"},
		{":9180", "", "token: want a token"},
		{"localhost:9180", "", "token: want a token"},
		{":9180", "x", ""},
		{"9180", "x", "want an address and a port"},
	} {
		_, err := admin.New(admin.Options{Listen: tt.listen, Token: tt.token, Ready: ready})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q with token %q: %v, want %q", tt.listen, tt.token, err, tt.want)
		}
	}
}

func TestPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	s, err := admin.New(admin.Options{Listen: ln.Addr().String(), Ready: ready})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "choose another port") {
		t.Errorf("got %v", err)
	}
}
