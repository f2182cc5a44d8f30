package bgp

import (
	"bytes"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// isAlone is set in the process of a test that is alone.
const isAlone = "TERRANE_TEST_ALONE"

// alone runs the calling test again, in a process of its own, and reports whether this
// is that process.
func alone(t *testing.T) bool {
	t.Helper()
	return os.Getenv(isAlone) != "" || again(t, isAlone, nil)
}

// again runs the calling test in a child process in which env is set. It returns false.
func again(t *testing.T, env string, attr *syscall.SysProcAttr) bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.timeout=2m", "-test.v")
	cmd.Env = append(os.Environ(), env+"=1")
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	}
	return false
}
