package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// DelayedLink joins two nodes as Link does, by a cable that is so long that each
// packet takes delay, either way. The process returned is the cable: stopped by
// SIGSTOP it carries nothing, while both ends still look up.
func (l *Lab) DelayedLink(ctx context.Context, a *Node, aAddr netip.Prefix, b *Node, bAddr netip.Prefix, delay time.Duration) (*Process, error) {
	// Not netem, which not every kernel has: a process owns a TUN device in each namespace.
	cmd, err := l.Host().role(ctx, roleRelay, namespaces+a.namespace, b.name, namespaces+b.namespace, a.name, delay.String())
	if err != nil {
		return nil, err
	}
	p, err := l.Host().start("relay "+a.name+" "+b.name, cmd)
	if err != nil {
		return nil, err
	}
	if _, err := p.Line(ctx, relaying); err != nil {
		return nil, err
	}
	// A TUN device gets no link-local address by itself, and FRR wants one for IPv6.
	return p, errors.Join(a.up(ctx, b.name, aAddr), b.up(ctx, a.name, bAddr),
		a.AddAddress(ctx, b.name, netip.MustParsePrefix("fe80::1/64")), b.AddAddress(ctx, a.name, netip.MustParsePrefix("fe80::2/64")))
}

const relaying = "relaying"

// relay is the process that is a slow link. Its devices vanish with it.
func relay(ctx context.Context, args []string) error {
	if len(args) != 5 {
		return errors.New("want NAMESPACE DEVICE NAMESPACE DEVICE DELAY")
	}
	delay, err := time.ParseDuration(args[4])
	if err != nil {
		return err
	}
	a, err := openTUN(args[0], args[1])
	if err != nil {
		return err
	}
	b, err := openTUN(args[2], args[3])
	if err != nil {
		return errors.Join(err, a.Close())
	}
	there, back := make(chan error, 1), make(chan error, 1)
	go func() { there <- carry(b, a, delay) }()
	go func() { back <- carry(a, b, delay) }()
	fmt.Println(relaying)
	<-ctx.Done()
	return errors.Join(a.Close(), b.Close(), <-there, <-back)
}

// openTUN makes a TUN device in a namespace.
func openTUN(namespace, device string) (*os.File, error) {
	type result struct {
		file *os.File
		err  error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and nothing else runs in the namespace
		file, err := openTUNHere(namespace, device)
		done <- result{file, err}
	}()
	r := <-done
	return r.file, r.err
}

func openTUNHere(namespace, device string) (*os.File, error) {
	ns, err := os.Open(namespace) //nolint:gosec // one of a lab's own
	if err != nil {
		return nil, err
	}
	defer func() { _ = ns.Close() }()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("setns %s: %w", namespace, err)
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(device)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("TUN device %s: %w", device, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "tun "+device), nil
}

const (
	maxHeld   = 4096 // packets on the way; more are dropped, as routers do
	maxPacket = 64 << 10
)

type heldPacket struct {
	due  time.Time
	data []byte
}

// carry brings packets from one device to the other, until the first is closed.
func carry(to, from *os.File, delay time.Duration) error {
	held := make(chan heldPacket, maxHeld)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for p := range held {
			<-time.After(time.Until(p.due))
			_, _ = to.Write(p.data) // a device that is down takes none: lost, as on any link
		}
	}()
	defer func() {
		close(held)
		<-written
	}()
	buf := make([]byte, maxPacket)
	for {
		n, err := from.Read(buf)
		if errors.Is(err, fs.ErrClosed) {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case held <- heldPacket{time.Now().Add(delay), append([]byte(nil), buf[:n]...)}:
		default:
		}
	}
}
