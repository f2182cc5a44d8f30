package repotest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
)

func TestSystemdUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	const unit, dropIn = "terrane.service", "terrane.service.d/manage-address.conf"
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, filepath.Dir(dropIn)), 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{unit, dropIn} {
		text, err := os.ReadFile(filepath.Join(root, "deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		// systemd-analyze wants the program to be there.
		text = []byte(strings.ReplaceAll(string(text), "/usr/local/bin/terrane ", "/bin/true "))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// It prints what it does not understand, and succeeds.
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, unit)).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "terrane") || err != nil {
			t.Error(strings.TrimSpace(line))
		}
	}
	if err != nil {
		t.Error(err)
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
