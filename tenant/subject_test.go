package tenant_test

import (
	"strings"
	"testing"

	"github.com/terrane/terrane/tenant"
)

func TestParseSubject(t *testing.T) {
	for _, tc := range []struct {
		in              string
		plain, wildcard bool
	}{
		{"orders", true, true},
		{"orders.created", true, true},
		{"Orders.v1_2.a-b", true, true},
		{"orders.*", false, true},
		{"*.created", false, true},
		{">", false, true},
		{"orders.>", false, true},
		{"", false, false},
		{".", false, false},
		{"orders.", false, false},
		{".orders", false, false},
		{"or ders", false, false},
		{">.orders", false, false},
		{"orders.cre*ted", false, false},
		{"bestell\u00fcng", false, false},
		{strings.Repeat("x", 201), false, false},
	} {
		if _, err := tenant.ParseSubject(tc.in, false); (err == nil) != tc.plain {
			t.Errorf("ParseSubject(%.40q, false): %v", tc.in, err)
		}
		if _, err := tenant.ParseSubject(tc.in, true); (err == nil) != tc.wildcard {
			t.Errorf("ParseSubject(%.40q, true): %v", tc.in, err)
		}
	}
}

func TestSubjectMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, subject tenant.Subject
		want             bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a", false},
		{"a", "a.b", false},
		{"a.*", "a.b", true},
		{"a.*", "a", false},
		{"a.*", "a.b.c", false},
		{"*.b", "a.b", true},
		{"*.b", "a.c", false},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{">", "a", true},
	} {
		if got := tc.pattern.Matches(tc.subject); got != tc.want {
			t.Errorf("%q matches %q: %v, want %v", tc.pattern, tc.subject, got, tc.want)
		}
	}
}
