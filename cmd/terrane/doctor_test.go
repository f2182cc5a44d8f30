package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/edge/edgetest"
)

func TestDoctor(t *testing.T) {
	e := edgetest.Start(t, nil)
	admin := "--admin=http://" + e.Admin.Addr().String()
	e.Deploy("alice", map[string][]byte{"index.wasm": edgetest.File(t, "examples/hello-wat/hello.wasm")})
	e.Deploy("shy", map[string][]byte{"terrane.toml": []byte(`domains = ["other.example"]`), "index.html": nil})
	e.Domain("good.example", "terrane=/sites/alice/")
	e.Domain("shy.example", "terrane=/sites/shy/")
	e.Domain("empty.example", "terrane=/sites/nobody/")
	e.Domain("xn--bcher-kva.example", "terrane=/sites/alice/")
	for _, tt := range []struct {
		host    string
		healthy bool
		want    []string
	}{
		{"good.example", true, []string{"127.0.0.1", "terrane=/sites/alice/", "verified", "revision", "certificate  by "}},
		{"bücher.example", true, []string{"xn--bcher-kva.example"}},
		{"shy.example", false, []string{"does not list shy.example: add it to domains"}},
		{"empty.example", false, []string{`"/sites/nobody"`}},
		{"nothing.example", false, []string{"denied", "add A 127.0.0.1"}},
	} {
		out, err := terrane(t, "doctor", tt.host, admin)
		if (err == nil) != tt.healthy {
			t.Errorf("doctor %s: %v\n%s", tt.host, err, out)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("doctor %s: nothing of %q in\n%s", tt.host, want, out)
			}
		}
	}
	if out, err := terrane(t, "doctor", "good.example", "--json", admin); err != nil || !strings.Contains(out, `"healthy": true`) {
		t.Errorf("doctor --json: %v\n%s", err, out)
	}
	if status, body := e.Get("/doctor?host=shy.example"); status != http.StatusOK || !strings.Contains(body, `"healthy": false`) || !strings.Contains(body, `"records": [`) {
		t.Errorf("/doctor: %d %s", status, body)
	}
	for _, bad := range []string{"a..b", "192.0.2.1", "localhost"} {
		if _, err := terrane(t, "doctor", bad, admin); err == nil {
			t.Errorf("doctor %s: no error", bad)
		}
	}
}
