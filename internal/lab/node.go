package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Node is one machine of a lab: a network namespace, or the host itself.
type Node struct {
	lab       *Lab
	name      string
	namespace string // empty: the host
}

// Host is the machine the lab runs on, as a node.
func (l *Lab) Host() *Node { return &Node{lab: l, name: "host"} }

// namespaces is where ip netns keeps them.
const namespaces = "/run/netns/"

// Namespace is the name of the node's network namespace; empty for the host.
func (n *Node) Namespace() string { return n.namespace }

// Name is the node's name within the lab.
func (n *Node) Name() string { return n.name }

// Node makes a node with nothing but a loopback interface. The name is also the
// name of interfaces that lead to it: at most 15 bytes.
func (l *Lab) Node(ctx context.Context, name string) (*Node, error) {
	n := &Node{lab: l, name: name, namespace: l.tag + "-" + name}
	if err := l.keeper.owns(namespace, n.namespace); err != nil {
		return nil, err
	}
	if _, err := l.Host().Run(ctx, "ip", "netns", "add", n.namespace); err != nil {
		return nil, err
	}
	_, err := n.ip(ctx, "link", "set", "lo", "up")
	return n, err
}

// Command is a program to be run on the node. It is killed with this process, and
// asked to end when ctx does.
func (n *Node) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if n.namespace != "" {
		// Not ip netns exec: it wants to mount /sys anew, which not every container allows.
		args = append([]string{"--net=" + namespaces + n.namespace, program}, args...)
		program = "nsenter"
	}
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // running what the test says is this function's task
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second // then killed, or left alone by Wait if it is a child of it that lives on
	return cmd
}

// role is Command for this executable in a role.
func (n *Node) role(ctx context.Context, role string, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := n.Command(ctx, self, args...)
	cmd.Env = roleEnvironment(role)
	return cmd, nil
}

// Run runs a program on the node and returns what it printed on standard output;
// the error holds what it printed on standard error.
func (n *Node) Run(ctx context.Context, program string, args ...string) (string, error) {
	return n.output(n.Command(ctx, program, args...))
}

func (n *Node) output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %s: %w: %s", n.name, strings.Join(cmd.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}

// ip runs ip(8) for the node's namespace.
func (n *Node) ip(ctx context.Context, args ...string) (string, error) {
	return n.Run(ctx, "ip", args...)
}

func (n *Node) up(ctx context.Context, device string, addr netip.Prefix) error {
	_, err := n.ip(ctx, "link", "set", device, "up")
	return errors.Join(err, n.AddAddress(ctx, device, addr))
}

// AddAddress gives the interface an address. IPv6 addresses work at once, without
// duplicate address detection.
func (n *Node) AddAddress(ctx context.Context, device string, addr netip.Prefix) error {
	args := []string{"addr", "add", addr.String(), "dev", device}
	if addr.Addr().Is6() {
		args = append(args, "nodad")
	}
	_, err := n.ip(ctx, args...)
	return err
}

// AddRoute adds a route over a neighbor.
func (n *Node) AddRoute(ctx context.Context, to netip.Prefix, via netip.Addr) error {
	_, err := n.ip(ctx, "route", "add", to.String(), "via", via.String())
	return err
}

// DeleteRoute removes all routes for exactly the prefix.
func (n *Node) DeleteRoute(ctx context.Context, to netip.Prefix) error {
	_, err := n.ip(ctx, "route", "del", to.String())
	return err
}

// Forward makes the node a router.
func (n *Node) Forward(ctx context.Context) error {
	_, err := n.Run(ctx, "sh", "-ec", "for f in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 1 >/proc/sys/net/$f; done")
	return err
}

// Route is an entry of a node's main routing table.
type Route struct {
	To       string `json:"dst"` // a single address without its length
	Via      string `json:"gateway"`
	Device   string `json:"dev"`
	Protocol string `json:"protocol"` // who put it there: "bird", "kernel", "boot"
}

// Routes lists the entries for exactly the prefix.
func (n *Node) Routes(ctx context.Context, to netip.Prefix) ([]Route, error) {
	out, err := n.ip(ctx, "-j", "route", "show", "exact", to.String())
	if err != nil {
		return nil, err
	}
	var routes []Route
	if err := json.Unmarshal([]byte(out), &routes); err != nil {
		return nil, fmt.Errorf("%s: routes: %w", n.name, err)
	}
	return routes, nil
}
