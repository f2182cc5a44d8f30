package folder

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
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
