package folder

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func FuzzWholeModule(f *testing.F) {
	whole := []byte("\x00asm\x01\x00\x00\x00\x00\x03abc\x01\x80\x00")
	f.Add(whole)
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x00\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, module []byte) {
		if !wholeModule(bytes.NewReader(module), int64(len(module))) {
			return
		}
		if len(module) < 8 {
			t.Fatalf("%x is called a module", module)
		}
		if wholeModule(bytes.NewReader(append(module, 0)), int64(len(module))+1) {
			t.Errorf("%x with half a section is called whole", module)
		}
	})
}

func TestWholeModule(t *testing.T) {
	for _, tt := range []struct {
		module string
		want   bool
	}{
		{"\x00asm\x01\x00\x00\x00", true},
		{"\x00asm\x01\x00\x00\x00\x00\x03abc", true},
		{"\x00asm\x01\x00\x00\x00\x00\x83\x00abc", true},
		{"\x00asm\x01\x00\x00\x00\x00\x03ab", false},
		{"\x00asm\x01\x00\x00\x00\x00", false},
		{"\x00asm\x01\x00\x00\x00\x00\xff\xff\xff\xff\x0f", false},
		{"\x00asm\x01\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff", false},
		{"\x00asm\x01\x00\x00", false},
		{"", false},
		{"hello, world", false},
	} {
		if got := wholeModule(bytes.NewReader([]byte(tt.module)), int64(len(tt.module))); got != tt.want {
			t.Errorf("wholeModule(%x) = %v", tt.module, got)
		}
	}
}

func TestOpenForWriting(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	w, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // opened for reading
	if open, known := openForWriting(r); !open || !known {
		t.Errorf("open %v, known %v of a file with a writer", open, known)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if open, known := openForWriting(r); open || !known {
		t.Errorf("open %v, known %v of a file without a writer", open, known)
	}
	if os.Getuid() == 0 {
		return
	}
	foreign, err := os.Open("/etc/passwd")
	if err != nil {
		t.Skip(err)
	}
	defer foreign.Close() //nolint:errcheck // opened for reading
	if open, known := openForWriting(foreign); open || known {
		t.Errorf("open %v, known %v of another user's file", open, known)
	}
}

// TestLeaseOnAnothersFile: whether another user's file is open for writing is known with
// CAP_LEASE, which the systemd unit grants, and not without.
func TestLeaseOnAnothersFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("changing capabilities wants root")
	}
	path := filepath.Join(t.TempDir(), "f")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // a test
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // a test
	if kindOf(r) != local {
		t.Skip("not a local file system")
	}
	ask := func(capable bool) (open, known bool) {
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with what it has become
			head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			caps := make([]unix.CapUserData, 2)
			err := unix.Capget(&head, &caps[0])
			if !capable {
				caps[0].Effective &^= 1 << unix.CAP_LEASE
			}
			err = errors.Join(err, unix.Capset(&head, &caps[0]), unix.Setfsuid(65534))
			open, known = openForWriting(r)
			done <- err
		}()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		return open, known
	}
	if open, known := ask(true); !open || !known {
		t.Errorf("with CAP_LEASE, an open file: open %v, known %v", open, known)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if open, known := ask(true); open || !known {
		t.Errorf("with CAP_LEASE, a closed file: open %v, known %v", open, known)
	}
	if _, known := ask(false); known {
		t.Error("known without CAP_LEASE")
	}
}
