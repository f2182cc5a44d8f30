package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// roleVariable carries the role to this executable's next start.
const roleVariable = "TERRANE_LAB_ROLE"

// The roles of Child. Arguments are those of the process.
const (
	roleKeeper = "keeper" // removes what a lab made
	roleGit    = "git"    // LISTEN ROOT: serves repositories
	roleFetch  = "fetch"  // one HTTP request: JSON in, JSON out
	roleDial   = "dial"   // ADDRESS: connects again and again
	roleRelay  = "relay"  // NAMESPACE DEVICE NAMESPACE DEVICE DELAY: a slow link
	roleVisit  = "visit"  // HTTPS requests as a Visitor says: JSON in, JSON lines out
)

// Child runs the role that a lab started this executable in, and ends the
// process; without a role it returns at once. Programs that use a Lab call it
// first of all: tests in TestMain.
func Child() {
	run, ok := map[string]func(context.Context, []string) error{
		roleKeeper: keep,
		roleGit:    serveGit,
		roleFetch:  fetchOnce,
		roleDial:   dialForever,
		roleRelay:  relay,
		roleVisit:  visitOn,
	}[os.Getenv(roleVariable)]
	if !ok {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// roleCommand is this executable in a role, on the host.
func roleCommand(ctx context.Context, role string, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // this very program
	cmd.Env = roleEnvironment(role)
	return cmd, nil
}

// roleEnvironment spares programs under the race detector the second that they wait when they end.
func roleEnvironment(role string) []string {
	return append(os.Environ(), roleVariable+"="+role, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
}
