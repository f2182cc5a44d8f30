package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// FRRFolder is where packages put FRR's daemons, which are in no PATH.
const FRRFolder = "/usr/lib/frr/"

// FRR is an FRR router, zebra and bgpd and bfdd: it puts what its neighbors announce into
// its node's routing table.
type FRR struct {
	node *Node
	dir  string
	bgpd *Process
}

// RunFRR starts a router with the frr.conf given on the node, and returns once it
// answers questions. Nothing of an FRR on this machine is touched.
func (n *Node) RunFRR(ctx context.Context, config string) (*FRR, error) {
	f := &FRR{node: n, dir: n.lab.Path(n.name + "-frr")}
	// The daemons become the user frr, and must reach their folder.
	err := errors.Join(os.Chmod(n.lab.dir, 0o711), os.Mkdir(f.dir, 0o700)) //nolint:gosec // to pass through, not to read
	if err == nil {
		err = exec.CommandContext(ctx, "chown", "frr:frr", f.dir).Run() //nolint:gosec // a folder this package made
	}
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"zebra", "bfdd", "bgpd"} {
		if err := f.start(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(f.file(), []byte(config), 0o600); err != nil {
		return nil, err
	}
	return f, f.load(ctx)
}

func (f *FRR) file() string { return filepath.Join(f.dir, "frr.conf") }

// start starts one of the daemons, without a configuration, and returns once it answers.
func (f *FRR) start(ctx context.Context, name string) error {
	args := []string{"-f", "/dev/null", "-i", filepath.Join(f.dir, name+".pid"), "-z", filepath.Join(f.dir, "zserv"),
		"--vty_socket", f.dir, "-A", "127.0.0.1", "--log", "stdout"}
	if name == "bfdd" {
		args = append(args, "--bfdctl", filepath.Join(f.dir, "bfdd.sock"))
	}
	p, err := f.node.Start(ctx, name, FRRFolder+name, args...)
	if err == nil {
		// Each daemon makes a folder for its last words.
		err = f.node.lab.keeper.owns(folder, fmt.Sprintf("/var/tmp/frr/%s.%d", name, p.Pid()))
	}
	if err != nil {
		return err
	}
	f.bgpd = p // the last one
	return Until(ctx, func(ctx context.Context) error {
		_, err := f.vtysh(ctx, "-d", name, "-c", "show version")
		return err
	})
}

func (f *FRR) load(ctx context.Context) error {
	out, err := f.vtysh(ctx, "-f", f.file())
	if err == nil && strings.Contains(out, "%") { // complaints; not all of them change its status
		err = fmt.Errorf("%s: frr.conf: %s", f.node.name, out)
	}
	return err
}

// KillBGP kills bgpd.
func (f *FRR) KillBGP(ctx context.Context) error {
	err := f.bgpd.Signal(syscall.SIGKILL)
	_ = f.bgpd.Wait(ctx) // killed
	return err
}

// StartBGP starts bgpd again, with the configuration that RunFRR got.
func (f *FRR) StartBGP(ctx context.Context) error {
	if err := f.start(ctx, "bgpd"); err != nil {
		return err
	}
	return f.load(ctx)
}

func (f *FRR) vtysh(ctx context.Context, args ...string) (string, error) {
	return f.node.Run(ctx, "vtysh", append([]string{"--vty_socket", f.dir}, args...)...)
}

// Query asks the router, such as "show bgp summary".
func (f *FRR) Query(ctx context.Context, question string) (string, error) {
	return f.vtysh(ctx, "-c", question)
}
