package repotest

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The audit names a vulnerable function that our code calls and ends with status 3; without
// a database it names modules instead and does not fail.
func TestAudit(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not in PATH")
	}
	const vulnerable = `{"schema_version": "1.3.1", "id": "GO-2099-0001", "modified": "2099-01-01T00:00:00Z", "published": "2099-01-01T00:00:00Z",
		"summary": "made for this test", "details": "made for this test", "database_specific": {"url": "https://example.test/GO-2099-0001"}, "affected": [{"package": {"name": "github.com/pelletier/go-toml/v2", "ecosystem": "Go"},
		"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
		"ecosystem_specific": {"imports": [{"path": "github.com/pelletier/go-toml/v2", "symbols": ["Unmarshal"]}]}}]}`
	const listed = `[{"id": "GO-2099-0001", "modified": "2099-01-01T00:00:00Z"}]`
	for _, c := range []struct {
		name string
		db   map[string]string
		code int
		want string
	}{
		{"called", map[string]string{
			"index/db.json":        `{"modified": "2099-01-01T00:00:00Z"}`,
			"index/modules.json":   `[{"path": "github.com/pelletier/go-toml/v2", "vulns": ` + listed + `}]`,
			"index/vulns.json":     listed,
			"ID/GO-2099-0001.json": vulnerable,
		}, 3, "GO-2099-0001"},
		{"no database", nil, 0, "audit: modules that have newer versions:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := t.TempDir()
			for name, text := range c.db {
				if !json.Valid([]byte(text)) {
					t.Fatalf("%s is not JSON", name)
				}
				name = filepath.Join(db, name)
				if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("tools/audit", "./internal/tomlfile")
			cmd.Dir = root
			url := "file://" + filepath.ToSlash(db)
			if c.db == nil {
				url = "http://127.0.0.1:1"
			}
			cmd.Env = append(os.Environ(), "GOVULNDB="+url)
			out, err := cmd.CombinedOutput()
			code := 0
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != c.code || !strings.Contains(string(out), c.want) {
				t.Errorf("status %d, want %d, and %q in:\n%s", code, c.code, c.want, out)
			}
		})
	}
}
