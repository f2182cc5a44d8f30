package folder

import (
	"bytes"
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
