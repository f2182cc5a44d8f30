package state

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzSubjects(f *testing.F) {
	f.Add("/git/alice", "a.b*>\x00")
	f.Add("", "")
	s := &Store{opts: Options{Bucket: "terrane_state"}}
	f.Fuzz(func(t *testing.T, id, key string) {
		k := &kv{store: s, token: tenantToken(id)}
		subject := k.subject(key)
		if strings.ContainsAny(subject, " *>\r\n\t") || !utf8.ValidString(subject) || strings.Count(subject, ".") != 3 {
			t.Errorf("%q", subject)
		}
		token, got, ok := s.parseSubject(subject)
		if !ok || token != k.token || got != key {
			t.Errorf("%q is %q %q, %v", subject, token, got, ok)
		}
		_, _, _ = s.parseSubject(id + key)
	})
}
