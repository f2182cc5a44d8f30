package clocktest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Clock is the wall clock of a process.
type Clock struct {
	pid   int
	ahead int64 // address of an int64: by how many seconds the wall clock is ahead
}

// A replacement of clock_gettime: it asks the kernel, and adds what is stored behind it to the
// seconds of CLOCK_REALTIME.
var code = [...]byte{ //nolint:gochecknoglobals // a constant
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, SYS_clock_gettime
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi
	0x75, 0x0a, // jnz to ret
	0x48, 0x8b, 0x0d, room - 8 - 18, 0x00, 0x00, 0x00, // mov rcx, [rip + distance to ahead]
	0x48, 0x01, 0x0e, // add [rsi], rcx
	0xc3, // ret
}

const (
	room   = 64   // the code and the number, at the end of the vDSO's last page
	jump   = 0xe9 // jmp, relative to its own end
	jumpTo = 5    // its length
)

// Of takes over the wall clock of a process, which shows the right time until Set.
func Of(pid int) (*Clock, error) {
	lo, image, err := vdso(pid)
	if err != nil {
		return nil, err
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, fmt.Errorf("vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("vDSO: %w", err)
	}
	at := -1
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" && s.Value+room < uint64(len(image)) {
			at = int(s.Value)
		}
	}
	to := len(image) - room
	if at < 0 || bytes.ContainsFunc(image[to:], func(r rune) bool { return r != 0 }) {
		return nil, errors.New("the vDSO of this kernel is not one that this package knows")
	}
	entry := append([]byte{jump}, binary.LittleEndian.AppendUint32(nil, uint32(to-at-jumpTo))...)
	entry = append(entry, image[at+len(entry):at+8]...) // one aligned word
	c := &Clock{pid: pid, ahead: lo + int64(len(image)) - 8}
	return c, c.write(func(mem *os.File) error {
		_, err := mem.WriteAt(code[:], lo+int64(to))
		if err == nil {
			_, err = mem.WriteAt(entry, lo+int64(at))
		}
		return err
	})
}

// Set makes the wall clock of the process be ahead of this one's, in whole seconds. Its
// monotonic clock does not change.
func (c *Clock) Set(ahead time.Duration) error {
	return c.write(func(mem *os.File) error {
		_, err := mem.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(ahead/time.Second)), c.ahead)
		return err
	})
}

// vdso returns where the process has its vDSO, and what that is.
func vdso(pid int) (at int64, image []byte, err error) {
	maps, err := os.ReadFile(proc(pid, "maps"))
	if err != nil {
		return 0, nil, err
	}
	for line := range strings.Lines(string(maps)) {
		var lo, hi int64
		if !strings.Contains(line, "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x ", &lo, &hi); err != nil {
			return 0, nil, err
		}
		mem, err := os.Open(proc(pid, "mem"))
		if err != nil {
			return 0, nil, err
		}
		image := make([]byte, hi-lo)
		_, err = mem.ReadAt(image, lo)
		return lo, image, errors.Join(err, mem.Close())
	}
	return 0, nil, errors.New("the process has no vDSO")
}

// write changes the memory of the process while no thread of it runs.
func (c *Clock) write(f func(mem *os.File) error) error {
	mem, err := os.OpenFile(proc(c.pid, "mem"), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close() //nolint:errcheck // nothing is buffered
	if err := syscall.Kill(c.pid, syscall.SIGSTOP); err != nil {
		return err
	}
	err = c.stopped()
	if err == nil {
		err = f(mem)
	}
	return errors.Join(err, syscall.Kill(c.pid, syscall.SIGCONT))
}

// stopped waits until each thread has stopped.
func (c *Clock) stopped() error {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		states, err := filepath.Glob(proc(c.pid, "task/*/stat"))
		if err != nil {
			return err
		}
		running := 0
		for _, name := range states {
			stat, err := os.ReadFile(name)
			if err != nil {
				continue // it has ended
			}
			if _, state, ok := strings.Cut(string(stat), ") "); ok && state[0] != 'T' {
				running++
			}
		}
		if running == 0 && len(states) > 0 {
			return nil
		}
	}
	return fmt.Errorf("process %d does not stop", c.pid)
}

func proc(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }
