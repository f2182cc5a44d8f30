package githost

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/terrane/terrane/tenant"
)

const (
	maxPushers = 4 << 20 // bytes of the file
	tokenKind  = "token-sha256"
	everything = "*"
	nothing    = "-"
)

// Pusher is one line of a file of pushers.
type Pusher struct {
	Name    string // the line's comment, or the key's fingerprint
	folders []string
	key     []byte // of ssh, in wire form
	token   [sha256.Size]byte
}

// May reports whether the folder is one that the pusher may write.
func (p *Pusher) May(folder string) bool {
	return slices.Contains(p.folders, folder) || p.all()
}

func (p *Pusher) all() bool { return slices.Contains(p.folders, everything) }

// id tells pushers apart.
func (p *Pusher) id() string { return string(p.key) + string(p.token[:]) }

// ReadsOnly reports whether there is no folder that the pusher may write.
func (p *Pusher) ReadsOnly() bool { return len(p.folders) == 0 }

// ReadPushers reads a file of those who may push to the store with the prefix. Each
// line has the tenants' folders that may be written, split by commas ("*": all of
// them and what lies beside them; "-": none), a public key of ssh as authorized_keys
// has it, or "token-sha256" and the SHA-256 of a token in hexadecimal, and a comment:
//
//	alice,bob ssh-ed25519 AAAAC3Nza... alice@laptop
//	carol     token-sha256 9f86d081... carol's CI
//
// All of them may read the whole repository; where each tenant has a repository, those
// that they may write, and with "-" all. A fault in any line is an error, which
// names file and line.
func ReadPushers(file, prefix string) ([]Pusher, error) {
	f, err := os.Open(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, maxPushers+1))
	if err == nil && len(data) > maxPushers {
		err = fmt.Errorf("larger than %d bytes", maxPushers)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return parsePushers(file, prefix, data)
}

func parsePushers(file, prefix string, data []byte) ([]Pusher, error) {
	var all []Pusher
	var errs []error
	seen := map[string]int{}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // an editor's byte order mark
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<16)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		p, err := parsePusher(prefix, line)
		if err == nil && seen[p.id()] > 0 {
			err = fmt.Errorf("the key of line %d is here again: list its folders in one line", seen[p.id()])
		} else {
			seen[p.id()] = n
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, n, err))
			continue
		}
		all = append(all, p)
	}
	if err := lines.Err(); err != nil {
		errs = append(errs, fmt.Errorf("%s:%d: %w", file, n+1, err))
	}
	return all, errors.Join(errs...)
}

func parsePusher(prefix, line string) (p Pusher, err error) {
	folders, rest, _ := strings.Cut(line, " ")
	if folders != nothing {
		p.folders = strings.Split(folders, ",")
	}
	for _, f := range p.folders {
		id, err := tenant.ParseID(prefix + f)
		_, own := tenantName(prefix, id)
		if f != everything && (err != nil || string(id) != prefix+f || f == "" || f[0] == '.' || prefix[0] != '/' && !own) {
			return p, fmt.Errorf("%q is no tenant's folder: want folders split by commas, %q for all or %q for none, then a key", f, everything, nothing)
		}
	}
	rest = strings.TrimSpace(rest)
	if token, ok := strings.CutPrefix(rest, tokenKind+" "); ok {
		digest, comment, _ := strings.Cut(strings.TrimSpace(token), " ")
		sum, err := hex.DecodeString(digest)
		if err != nil || len(sum) != len(p.token) {
			return p, errors.New("want the token's SHA-256 in hexadecimal: printf %s \"$token\" | sha256sum")
		}
		copy(p.token[:], sum)
		if p.Name = strings.TrimSpace(comment); p.Name == "" {
			p.Name = "token " + digest[:8]
		}
		return p, nil
	}
	key, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil {
		return p, fmt.Errorf("want folders, then a public key of ssh or %q and a hash", tokenKind)
	}
	if len(options) > 0 {
		return p, fmt.Errorf("option %q is not supported here", options[0])
	}
	p.key, p.Name = key.Marshal(), comment
	if p.Name == "" {
		p.Name = ssh.FingerprintSHA256(key)
	}
	return p, nil
}

// byToken finds the pusher with a token, nil if there is none. It takes equally long
// for all.
func (r *repo) byToken(token string) (*Pusher, error) {
	sum := sha256.Sum256([]byte(token))
	return r.find(func(p *Pusher) bool { return p.key == nil && subtle.ConstantTimeCompare(p.token[:], sum[:]) == 1 })
}

// byKey finds the pusher with an ssh key in wire form, nil if there is none.
func (r *repo) byKey(key []byte) (*Pusher, error) {
	return r.find(func(p *Pusher) bool { return p.key != nil && bytes.Equal(p.key, key) })
}

func (r *repo) find(is func(*Pusher) bool) (found *Pusher, err error) {
	all, err := ReadPushers(r.Pushers, r.Prefix)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if is(&all[i]) {
			found = &all[i]
		}
	}
	return found, nil
}
