package githost

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	aKey  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFjlPykfhwUMBkbo4kGsjf0BJkbjZVVRsRgwlE0EIL0i"
	aHash = "token-sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // of "test"
)

func TestPushers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pushers")
	text := "\ufeff# who\n\nalice,bob " + aKey + " alice@laptop\n*\t " + aHash + "\n"
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "\t", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := ReadPushers(file, "/git/")
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	if p := all[0]; p.Name != "alice@laptop" || !p.May("bob") || p.May("carol") || p.May("") || p.May("*") || p.ReadsOnly() {
		t.Errorf("first: %+v", p)
	}
	if p := all[1]; !p.May("carol") || p.Name != "token 9f86d081" {
		t.Errorf("second: %+v", p)
	}
	if all, err = parsePushers(file, "/git/", []byte("\ufeffalice "+aKey)); err != nil || len(all) != 1 || !all[0].May("alice") {
		t.Errorf("with a byte order mark: %v, %v", all, err)
	}
	r := &repo{Repo: Repo{Prefix: "/git/", Pushers: file}}
	for token, want := range map[string]bool{"test": true, "": false, "tes": false, "9f86d081": false} {
		if p, err := r.byToken(token); err != nil || (p != nil) != want {
			t.Errorf("token %q: %v, %v", token, p, err)
		}
	}
}

func TestPushersFaults(t *testing.T) {
	for line, want := range map[string]string{
		"alice":                       "p:1: want folders, then a public key",
		"alice " + aKey[:30]:          "p:1: want folders, then a public key",
		"../etc " + aKey:              `p:1: "../etc" is no tenant's folder`,
		".git " + aKey:                `p:1: ".git" is no tenant's folder`,
		"alice, " + aKey:              `p:1: "" is no tenant's folder`,
		"alice/ " + aKey:              `p:1: "alice/" is no tenant's folder`,
		"alice token-sha256 abc":      "p:1: want the token's SHA-256",
		`alice command="x" ` + aKey:   `p:1: option "command=\"x\"" is not supported`,
		"a " + aKey + "\n\nb " + aKey: "p:3: the key of line 1 is here again",
		"a x\nb y":                    "p:1: want folders, then a public key of ssh or \"token-sha256\" and a hash\np:2: want",
		strings.Repeat("x", 1<<17):    "p:1: bufio.Scanner: token too long",
	} {
		if _, err := parsePushers("p", "/git/", []byte(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", line, err, want)
		}
	}
}

func FuzzPushers(f *testing.F) {
	f.Add("alice,bob " + aKey + " x\n# y\n- " + aHash)
	f.Add("* token-sha256 \x00")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parsePushers("p", "/git/", []byte(text))
		for _, p := range all {
			if p.Name == "" || (p.key == nil) == (p.token == [32]byte{}) && err == nil && !strings.Contains(text, strings.Repeat("0", 64)) {
				t.Errorf("%+v", p)
			}
			for _, folder := range p.folders {
				if strings.HasPrefix(folder, ".") || strings.Contains(folder, "..") || strings.ContainsAny(folder, " \n") {
					t.Errorf("folder %q", folder)
				}
			}
		}
	})
}

// FuzzQuestion: what comes from the hooks is bounded, and never believed half.
func FuzzQuestion(f *testing.F) {
	f.Add("pre-receive /q\n" + zero + " " + zero + " refs/heads/main\n\n")
	f.Add(strings.Repeat("a b c\n", 100))
	f.Fuzz(func(t *testing.T, text string) {
		in := bufio.NewReader(bytes.NewReader([]byte(text)))
		for {
			_, _, updates, err := readQuestion(in)
			if err != nil {
				if updates != nil {
					t.Error("updates beside an error")
				}
				if _, err := io.Copy(io.Discard, in); err != nil {
					t.Error(err)
				}
				return
			}
			if len(updates) > maxUpdates {
				t.Errorf("%d updates", len(updates))
			}
			for _, u := range updates {
				if u.old == "" || u.new == "" || u.ref == "" {
					t.Errorf("%+v", u)
				}
			}
		}
	})
}
