package memory

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSmallest(t *testing.T) {
	for _, tt := range []struct {
		name, groups string
		files        map[string]string
		want         int64
	}{
		{"none", "0::/\n", nil, 1000},
		{"no limit", "0::/a\n", map[string]string{"a/memory.max": "max\n"}, 1000},
		{"version 2", "0::/a/b\n", map[string]string{"a/b/memory.max": "500\n", "a/memory.max": "600\n"}, 500},
		{"around it", "0::/a/b\n", map[string]string{"a/b/memory.max": "max\n", "a/memory.max": "400\n"}, 400},
		{"version 1", "5:cpu:/x\n4:cpu,memory:/y\n3:memory:/z\n0::/\n", map[string]string{"memory/z/memory.limit_in_bytes": "300\n", "x/memory.max": "1"}, 300},
		{"version 1, no limit", "3:memory:/z\n", map[string]string{"memory/z/memory.limit_in_bytes": "9223372036854771712\n"}, 1000},
		{"container", "3:memory:/docker/abc\n", map[string]string{"memory/memory.limit_in_bytes": "200\n"}, 200},
		{"outside the namespace", "0::/../../a\n", map[string]string{"memory.max": "100\n"}, 100},
		{"nonsense", "x\n0::\n", map[string]string{"memory.max": "-5\n"}, 1000},
	} {
		root := t.TempDir()
		for name, text := range tt.files {
			name = filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := smallest(root, tt.groups, 1000); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := Limit(); got < 16<<20 {
		t.Errorf("this machine has %d bytes", got)
	}
}
