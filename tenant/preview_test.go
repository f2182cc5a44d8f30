package tenant

import (
	"strings"
	"testing"
)

const previews Host = "preview.test"

func TestPreviewHost(t *testing.T) {
	for _, tt := range []struct {
		name    string
		of      Host
		want    Host
		wantErr string
	}{
		{"red", "www.example.com", "red--www-example-com.preview.test", ""},
		{"r", "a-b.example", "r--a--b-example.preview.test", ""},
		{"fix-1", "xn--bcher-kva.example", "fix-1--xn----bcher--kva-example.preview.test", ""},
		{"ab", "a.example", "", "two characters"},
		{"a--b", "a.example", "", "single"},
		{"a-", "a.example", "", "single"},
		{"-a", "a.example", "", "single"},
		{"Red", "a.example", "", "single"},
		{"a.b", "a.example", "", "single"},
		{"a/b", "a.example", "", "single"},
		{"", "a.example", "", "single"},
		{strings.Repeat("a", 31), "a.example", "", "at most 30"},
		{"red", Host(strings.Repeat("a", 51) + ".example"), "", "at most 63"},
	} {
		got, err := PreviewHost(tt.name, tt.of, previews)
		if got != tt.want || !errHas(err, tt.wantErr) {
			t.Errorf("PreviewHost(%q, %s) = %q, %v; want %q, %q", tt.name, tt.of, got, err, tt.want, tt.wantErr)
		}
		if err != nil {
			continue
		}
		name, of, below, err := ParsePreviewHost(got, previews)
		if name != tt.name || of != tt.of || !below || err != nil {
			t.Errorf("ParsePreviewHost(%s) = %q, %q, %v, %v", got, name, of, below, err)
		}
	}
}

// TestParsePreviewHost: nothing below the preview domain that is not the one way to
// write a preview leads to a domain.
func TestParsePreviewHost(t *testing.T) {
	for h, below := range map[Host]bool{
		"www.example.com": false, "notpreview.test": false, "xpreview.test": false,
		"preview.test": true, "x.preview.test": true, "www-example-com.preview.test": true,
		"a.red--www-example-com.preview.test": true, // deeper
		"red--com.preview.test":               true, // a single label
		"red--a---b-example.preview.test":     true, // "-." and ".-" read the same
		"red---a-example.preview.test":        true,
		"red--a-example-.preview.test":        true,
		"ab--a-example.preview.test":          true,
		"red--192-0-2-1.preview.test":         true,
		"red--x-preview-test.preview.test":    true, // a preview of what is below the domain itself
		"red--preview-test.preview.test":      true,
	} {
		name, of, got, err := ParsePreviewHost(h, previews)
		if got != below || err == nil || of != "" {
			t.Errorf("ParsePreviewHost(%s) = %q, %q, %v, %v", h, name, of, got, err)
		}
	}
}

func TestPreviewID(t *testing.T) {
	id := ID("/git/alice").Preview("red")
	if _, err := ParseID(string(id)); err == nil {
		t.Errorf("a TXT record can name %s", id)
	}
	if of, name, ok := id.CutPreview(); of != "/git/alice" || name != "red" || !ok {
		t.Errorf("CutPreview = %s, %s, %v", of, name, ok)
	}
	if of, _, ok := ID("/git/alice").CutPreview(); of != "/git/alice" || ok {
		t.Errorf("CutPreview of a tenant = %s, %v", of, ok)
	}
}

func TestParseIDOrPreview(t *testing.T) {
	for in, want := range map[string]struct{ id, err string }{
		"/git/alice/":             {"/git/alice", ""},
		"/git/alice/.preview/red": {"/git/alice/.preview/red", ""},
		"alice/.preview/red":      {"", "starts with neither"},
		"/git/alice/.preview/x/y": {"/git/alice/.preview/x/y", "single"},
		"/git/alice/.preview/":    {"/git/alice/.preview/", "single"},
		"/git/.git":               {"", ".git"},
	} {
		if id, err := ParseIDOrPreview(in); string(id) != want.id || !errHas(err, want.err) {
			t.Errorf("ParseIDOrPreview(%q) = %q, %v; want %q, %q", in, id, err, want.id, want.err)
		}
	}
}

func FuzzParsePreviewHost(f *testing.F) {
	f.Add("red--www-example-com.preview.test")
	f.Add("r--a--b-example.preview.test")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHost(s)
		if err != nil {
			return
		}
		name, of, _, err := ParsePreviewHost(h, previews)
		if err != nil {
			return
		}
		if again, err := PreviewHost(name, of, previews); err != nil || again != h {
			t.Errorf("%s leads to %s of %s, whose name is %s, %v", h, name, of, again, err)
		}
	})
}
