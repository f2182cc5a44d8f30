package sync

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/sync/internal/mirror"
	"github.com/terrane/terrane/tenant"
)

func TestCheck(t *testing.T) {
	folder := func(prefix string) Store { return Store{Prefix: prefix, Folder: &Folder{Path: "/x"}} }
	git := func(url string) Store { return Store{Prefix: "/git/", Git: &Git{URL: url}} }
	own := func(prefix string) Store { return Store{Prefix: prefix, GitTenant: &Git{}} }
	for _, tt := range []struct {
		name   string
		stores []Store
		want   []string
	}{
		{"none", nil, []string{"store: want at least one [[store]]"}},
		{"one of each kind", []Store{folder("/x/"), git("https://h/x"), own("git@h:")}, nil},
		{"scp-like", []Store{git("git@h:x")}, nil},
		{"no kind", []Store{{Prefix: "/x/"}}, []string{"store[0].kind: want exactly one"}},
		{"two kinds", []Store{{Prefix: "/x/", Folder: &Folder{Path: "/x"}, Git: &Git{URL: "https://h/x"}}}, []string{"store[0].kind: want exactly one"}},
		{"no path", []Store{{Prefix: "/x/", Folder: &Folder{}}}, []string{"store[0].path: want the folder"}},
		{"no URL", []Store{git("")}, []string{"store[0].url: want the repository's URL"}},
		{"URLs", []Store{git("ftp://user:hunter2@h/x")}, []string{`store[0].url: "ftp://h/x": want an https`}},
		{"a URL that does not parse", []Store{git("https://user:hun/ter2@h:x/y")}, []string{`store[0].url: "https://h:x/y": want an https`}},
		{"depth and poll", []Store{{Prefix: "/x/", Folder: &Folder{Path: "/x"}, Depth: 9, Poll: -1}}, []string{"store[0].depth: 9: want 1 to 8", "store[0].poll: -1ns: want 0"}},
		{"a way out", []Store{folder("../")}, []string{`store[0].prefix: "../": want the start of the TXT paths`}},
		{"overlap", []Store{folder("/a/"), git("https://h/x"), folder("/a/b/")}, []string{`store[2].prefix: "/a/b/" overlaps the prefix "/a/" of store[0]`}},
		{"a path for repositories", []Store{own("/git/")}, []string{`store[0].prefix: "/git/": want the start of the repositories`}},
		{"part of a host's name", []Store{own("https://git.example.net")}, []string{`store[0].prefix: "https://git.example.net": want the start of the repositories`}},
		{"part of a folder's name", []Store{own("git@git.example.net:ten")}, []string{`store[0].prefix: "git@git.example.net:ten": want`}},
		{"a token for any host", []Store{{Prefix: "https://", GitTenant: &Git{TokenFile: "token"}}}, []string{"store[0].token_file: it would be sent to any host"}},
		{"all at once", []Store{{Prefix: "x", Folder: &Folder{}}, {Prefix: "y", Git: &Git{}}}, []string{
			"store[0].prefix: ", "store[0].path: ", "store[1].prefix: ", "store[1].url: ",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Options{Stores: tt.stores}.Check()
			faults, rest := fault.Split(err)
			if len(faults) != len(tt.want) || rest != nil {
				t.Fatalf("got\n%v\nwant\n%s", err, strings.Join(tt.want, "\n"))
			}
			for i, f := range faults {
				if !strings.HasPrefix(f.Error(), tt.want[i]) {
					t.Errorf("fault %d is %v, want %s", i, f, tt.want[i])
				}
				if strings.Contains(f.Error(), "hun") {
					t.Errorf("a password shows in %v", f)
				}
			}
		})
	}
}

// nothing is a Publisher.
type nothing struct{}

func (nothing) Publish(context.Context, *tenant.Snapshot) error { return nil }
func (nothing) Remove(context.Context, tenant.ID)               {}

// TestDefaultPolls wants what the comment of Store.Poll says.
func TestDefaultPolls(t *testing.T) {
	s, err := New(Options{Data: t.TempDir(), Publisher: nothing{}, Stores: []Store{
		{Prefix: "/f/", Folder: &Folder{Path: "/x"}}, {Prefix: "/g/", Git: &Git{URL: "https://h/x"}}, {Prefix: "git@h:", GitTenant: &Git{}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	own := s.groups[0]
	own.mirror, err = mirror.Open(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer own.mirror.Close() //nolint:errcheck // the test is over
	own.add("git@h:alice")
	got := []time.Duration{s.stores[0].c.Poll, s.stores[1].c.Poll, own.repos["git@h:alice"].st.c.Poll}
	if want := []time.Duration{2 * time.Second, 5 * time.Second, time.Minute}; !slices.Equal(got, want) {
		t.Errorf("a folder, a repository and a tenant's own are polled every %v, want %v", got, want)
	}
}
