package memory

import "testing"

const mib = 1 << 20

// TestDivide wants the parts within the whole where the operator has not asked for more.
func TestDivide(t *testing.T) {
	for _, tt := range []struct {
		name                string
		total, body, bodies int64
		want                Plan
	}{
		{"unknown", 0, 20 * mib, 0, Plan{}},
		{"small", 256 * mib, 20 * mib, 0, Plan{Heap: 124 * mib, Bodies: 60 * mib, Modules: 32 * mib, Idle: 16 * mib, Guests: 52 * mib}},
		{"middle", 4096 * mib, 20 * mib, 0, Plan{Heap: 1536 * mib, Bodies: 512 * mib, Modules: 512 * mib, Idle: 256 * mib, Guests: 1280 * mib}},
		{"large", 32768 * mib, 20 * mib, 0, Plan{Heap: 2560 * mib, Bodies: 512 * mib, Modules: 1024 * mib, Idle: 256 * mib, Guests: 24832 * mib}},
		{"as configured", 256 * mib, 2 * mib, 6 * mib, Plan{Heap: 70 * mib, Bodies: 6 * mib, Modules: 32 * mib, Idle: 16 * mib, Guests: 106 * mib}},
		{"more than there is", 256 * mib, 20 * mib, 512 * mib, Plan{Heap: 576 * mib, Bodies: 512 * mib, Modules: 32 * mib, Idle: 16 * mib, Guests: 16 * mib}},
	} {
		if got := Divide(tt.total, tt.body, tt.bodies); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
