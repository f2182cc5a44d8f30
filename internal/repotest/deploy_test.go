package repotest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
)

func TestSystemdUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "deploy"))); err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(dir, "terrane.service")
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"AmbientCapabilities", "CapabilityBoundingSet"} {
		if !strings.Contains(string(text), want+"=CAP_NET_BIND_SERVICE CAP_LEASE\n") {
			t.Errorf("the unit's %s lets it not see what is open for writing (CAP_LEASE)", want)
		}
	}
	// systemd-analyze wants the program to be there.
	text = bytes.ReplaceAll(text, []byte("/usr/local/bin/terrane "), []byte("/bin/true "))
	if err := os.WriteFile(unit, text, 0o600); err != nil {
		t.Fatal(err)
	}
	// Where drop-ins are looked for. The last ":" stands for the system's own units.
	t.Setenv("SYSTEMD_UNIT_PATH", dir+":")
	// It prints what it does not understand, and succeeds.
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte(dir)) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestCloudInitConfiguration checks the terrane.toml that cloud-init writes.
func TestCloudInitConfiguration(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy/cloud-init.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, file, ok := strings.Cut(string(text), "path: /etc/terrane/terrane.toml\n    content: |\n")
	if !ok {
		t.Fatal("cloud-init.yaml writes no terrane.toml")
	}
	var toml strings.Builder
	for line := range strings.Lines(file) {
		inside, ok := strings.CutPrefix(line, "      ")
		if !ok && strings.TrimSpace(line) != "" {
			break
		}
		toml.WriteString(inside + "\n")
	}
	if _, err := config.Parse("terrane.toml", []byte(toml.String())); err != nil {
		t.Errorf("%v in\n%s", err, toml.String())
	}
}
