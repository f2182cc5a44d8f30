package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// disk is slow, and at first it is full.
type disk struct {
	bytes.Buffer
	roomy atomic.Bool
}

func (d *disk) Write(p []byte) (int, error) {
	if !d.roomy.Load() {
		return 0, errors.New("disk full")
	}
	time.Sleep(time.Second)
	return d.Buffer.Write(p)
}

func TestAccessLogIsBoundedAndEscaped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(disk)
		var edge bytes.Buffer
		a := newAccessLog(w)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.run(ctx, slog.New(slog.NewTextHandler(&edge, nil)))
		}()
		v := &visit{id: "id", start: time.Now(), note: strings.Repeat("n", 5000), r: &http.Request{
			Method: http.MethodGet, Host: "a\"b\\\x00é\xff", URL: &url.URL{Path: "/\n\u2028"},
		}}
		a.log(v, time.Second)
		time.Sleep(3 * time.Second) // a line fails, and the failure is told once
		a.log(v, time.Second)
		time.Sleep(3 * time.Second)
		w.roomy.Store(true)
		for range 20_000 { // at once: more than is held
			a.log(v, time.Second)
		}
		time.Sleep(2 * time.Second)
		cancel()
		<-done
		if n := strings.Count(edge.String(), "disk full"); n != 1 || !strings.Contains(edge.String(), "lost lines") {
			t.Errorf("the edge's log: %s", &edge)
		}
		line, err := w.ReadBytes('\n')
		var got struct{ Host, Path, Note string }
		if err := errors.Join(err, json.Unmarshal(line, &got)); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if !strings.HasPrefix(got.Host, "a\"b\\\x00é") || got.Path != "/\n\u2028" || len(got.Note) != 512 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestOptions(t *testing.T) {
	sites := new(Sites)
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{HTTP: []string{":0"}}, "no sites"},
		{Options{Sites: sites}, "no address"},
		{Options{Sites: sites, HTTPS: []string{":0"}}, "wants a TLS configuration"},
		{Options{Sites: sites, HTTPS: []string{":0"}, TLS: &tls.Config{MinVersion: tls.VersionTLS12}}, `does not offer "http/1.1"`},
		{Options{Sites: sites, HTTP: []string{":0"}}, ""},
	} {
		_, err := New(tt.o)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
	if _, err := NewSites(SitesOptions{}); err == nil {
		t.Error("sites without an engine")
	}
}

func TestRequestIDsDiffer(t *testing.T) {
	ids, seen := newRequestIDs(), make(map[string]bool)
	for range 100_000 {
		id := ids.next()
		if seen[id] || strings.Trim(id, idAlphabet) != "" || len(id) != 26 {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}
