package gitwire

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/terrane/terrane/internal/fetch"
)

// TestJudge: where tenants name the host, those of the edge and its network are not contacted.
func TestJudge(t *testing.T) {
	var asked atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		(&server{}).ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	t.Setenv("HTTPS_PROXY", s.URL)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	policy, err := fetch.New(fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(policy.Close)
	o := Options{URL: s.URL + "/a", Within: "https://", Judge: policy.Judge, Auth: Auth{CA: ca}}
	for _, url := range []string{o.URL, "https://169.254.169.254/a", "https://10.0.0.1/a", "https://192.168.0.1:8443/a"} {
		o.URL = url
		if _, err := prepared(t, o).List(t.Context(), isMain); err == nil || !strings.Contains(err.Error(), "the host is at a") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests came", n)
	}
	o.URL, o.Within = s.URL+"/a", s.URL+"/" // the operator names the host
	if refs, err := prepared(t, o).List(t.Context(), isMain); err != nil || refs.At[main].String() != one {
		t.Errorf("a host that the prefix names: %v", err)
	}
}
