package config

import (
	"testing"
	"time"
)

func TestAbsence(t *testing.T) {
	for text, want := range map[string]time.Duration{"never": -1, "1m": time.Minute, "36h": 36 * time.Hour} {
		var a Absence
		if err := a.UnmarshalText([]byte(text)); err != nil || time.Duration(a) != want {
			t.Errorf("%q: %s, %v", text, time.Duration(a), err)
		}
	}
	for _, text := range []string{"", "0s", "59s", "-1h", "always"} {
		if err := new(Absence).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
