package gitwire

import "testing"

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"https://u:p@h/x":    "https://h/x",
		"https://h/a@b":      "https://h/a@b",
		"git@h:x":            "git@h:x",
		"ssh://git@h/x":      "ssh://h/x",
		"https://u:p/q@h/x":  "https://h/x",
		"https://u:p@h:port": "https://h:port",
		"/srv/x":             "/srv/x",
	} {
		if got := Redact(in); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}
