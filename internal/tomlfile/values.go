package tomlfile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as "2s" or "500ms", above zero.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is no duration: write a number above 0 and a unit, such as \"500ms\", \"2s\" or \"1h\"", text)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes written as "16MiB", "64KB" or 1024, above zero.
type Size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	digits := strings.TrimRight(string(text), "KMGiB")
	unit, ok := sizeUnit(string(text[len(digits):]))
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n <= 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is no size: write a number above 0 and a unit, such as \"64KiB\", \"16MiB\" or \"1GiB\"", text)
	}
	*s = Size(n * unit)
	return nil
}

func sizeUnit(suffix string) (int64, bool) {
	switch suffix {
	case "", "B":
		return 1, true
	case "KB":
		return 1e3, true
	case "MB":
		return 1e6, true
	case "GB":
		return 1e9, true
	case "KiB":
		return 1 << 10, true
	case "MiB":
		return 1 << 20, true
	case "GiB":
		return 1 << 30, true
	}
	return 0, false
}
