package tomlfile

import (
	"testing"
	"time"
)

func TestValues(t *testing.T) {
	for in, want := range map[string]Size{
		"1": 1, "512B": 512, "64KB": 64000, "64KiB": 65536, "16MiB": 16 << 20, "2GiB": 2 << 30,
		"": 0, "0": 0, "-1": 0, "1.5MiB": 0, "MiB": 0, "16 MiB": 0, "16mib": 0, "9999999999GiB": 0, "1BB": 0,
	} {
		var got Size
		if err := got.UnmarshalText([]byte(in)); got != want || (err == nil) != (want != 0) {
			t.Errorf("size %q = %d, %v; want %d", in, got, err, want)
		}
	}
	for in, want := range map[string]time.Duration{
		"2s": 2 * time.Second, "500ms": 500 * time.Millisecond, "1h30m": 90 * time.Minute,
		"": 0, "0s": 0, "-1s": 0, "5": 0, "1 s": 0,
	} {
		var got Duration
		if err := got.UnmarshalText([]byte(in)); got != Duration(want) || (err == nil) != (want != 0) {
			t.Errorf("duration %q = %v, %v; want %v", in, time.Duration(got), err, want)
		}
	}
}
