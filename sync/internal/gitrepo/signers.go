package gitrepo

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/crypto/ssh"
)

// Signers are the files of the keys that may sign commits. Each may be empty;
// if both are, no signature is asked for. They are read at each look.
type Signers struct {
	SSH     string // as ssh-keygen(1) describes ALLOWED SIGNERS; certificate authorities are not supported
	OpenPGP string // armored public keys
}

// Verify checks the signature in a raw commit, if one is asked for.
func (s Signers) Verify(commit []byte, now time.Time) error {
	if !s.wanted() {
		return nil
	}
	payload, signature := split(commit)
	return s.verify(payload, signature, now)
}

func (s Signers) wanted() bool { return s.SSH != "" || s.OpenPGP != "" }

// verify checks a signature over a commit's payload against the keys that are
// allowed now. An error that is about the files wraps errSigners.
func (s Signers) verify(payload, signature []byte, now time.Time) error {
	block, _ := pem.Decode(signature)
	switch {
	case len(signature) == 0:
		return errors.New("it is not signed")
	case block != nil && block.Type == "SSH SIGNATURE":
		if s.SSH == "" {
			return errors.New("it is signed with ssh, and no ssh key is allowed")
		}
		data, err := os.ReadFile(s.SSH)
		if err != nil {
			return fmt.Errorf("%w: %w", errSigners, err)
		}
		return verifySSH(payload, block.Bytes, data, now)
	case bytes.HasPrefix(signature, []byte("-----BEGIN PGP SIGNATURE-----")):
		return s.verifyOpenPGP(payload, signature)
	default:
		return errors.New("its signature is neither of ssh nor of OpenPGP")
	}
}

var errSigners = errors.New("cannot read the allowed signers")

func (s Signers) verifyOpenPGP(payload, signature []byte) error {
	if s.OpenPGP == "" {
		return errors.New("it is signed with OpenPGP, and no OpenPGP key is allowed")
	}
	f, err := os.Open(s.OpenPGP)
	if err != nil {
		return fmt.Errorf("%w: %w", errSigners, err)
	}
	defer f.Close() //nolint:errcheck // opened for reading
	keys, err := openpgp.ReadArmoredKeyRing(f)
	if err != nil {
		return fmt.Errorf("%w: %w", errSigners, err)
	}
	if _, err := openpgp.CheckArmoredDetachedSignature(keys, bytes.NewReader(payload), bytes.NewReader(signature), nil); err != nil {
		return fmt.Errorf("its OpenPGP signature does not hold: %w", err)
	}
	return nil
}

// sshSignature is the blob of PROTOCOL.sshsig behind its magic and version.
type sshSignature struct {
	PublicKey, Namespace, Reserved, HashAlgorithm, Signature string
}

// sshSigned is what such a signature is made over, behind the magic.
type sshSigned struct {
	Namespace, Reserved, HashAlgorithm, Hash string
}

const (
	sshMagic   = "SSHSIG"
	sshVersion = "\x00\x00\x00\x01"
)

func verifySSH(payload, blob, allowed []byte, now time.Time) error {
	body, ok := bytes.CutPrefix(blob, []byte(sshMagic+sshVersion))
	var sig sshSignature
	if !ok || ssh.Unmarshal(body, &sig) != nil {
		return errors.New("its ssh signature cannot be read")
	}
	if sig.Namespace != "git" {
		return fmt.Errorf("its ssh signature is for %q, not for git", sig.Namespace)
	}
	var hash []byte
	switch sig.HashAlgorithm {
	case "sha256":
		sum := sha256.Sum256(payload)
		hash = sum[:]
	case "sha512":
		sum := sha512.Sum512(payload)
		hash = sum[:]
	default:
		return fmt.Errorf("its ssh signature has the unknown hash %q", sig.HashAlgorithm)
	}
	var raw ssh.Signature
	if ssh.Unmarshal([]byte(sig.Signature), &raw) != nil {
		return errors.New("its ssh signature cannot be read")
	}
	if raw.Format == ssh.KeyAlgoRSA { // SHA-1
		return errors.New("its ssh signature is by RSA with SHA-1: sign with rsa-sha2-512")
	}
	key, err := ssh.ParsePublicKey([]byte(sig.PublicKey))
	if err != nil {
		return fmt.Errorf("the key of its ssh signature cannot be read: %w", err)
	}
	if err := isAllowed(key, allowed, now); err != nil {
		return err
	}
	signed := ssh.Marshal(sshSigned{sig.Namespace, sig.Reserved, sig.HashAlgorithm, string(hash)})
	if key.Verify(append([]byte(sshMagic), signed...), &raw) != nil {
		return errors.New("its ssh signature does not hold")
	}
	return nil
}

// isAllowed looks for key in an ALLOWED SIGNERS file. A line that cannot be read
// is an error, lest an option that narrows a key's use is overlooked.
func isAllowed(key ssh.PublicKey, file []byte, now time.Time) error {
	found := false
	lines := bufio.NewScanner(bytes.NewReader(file))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		_, rest, _ := strings.Cut(line, " ") // behind the principals
		listed, _, options, _, err := ssh.ParseAuthorizedKey([]byte(rest))
		if err != nil {
			return fmt.Errorf("%w: line %d: want principals, options, key", errSigners, n)
		}
		applies, err := applies(options, now)
		if err != nil {
			return fmt.Errorf("%w: line %d: %w", errSigners, n, err)
		}
		found = found || (applies && bytes.Equal(listed.Marshal(), key.Marshal()))
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", errSigners, err)
	}
	if !found {
		return fmt.Errorf("it is signed by a key that is not allowed now: %s", ssh.FingerprintSHA256(key))
	}
	return nil
}

// applies evaluates a key's options. Its validity is judged by the edge's clock:
// the commit's own time is whatever its maker says.
func applies(options []string, now time.Time) (bool, error) {
	ok := true
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		value = strings.Trim(value, `"`)
		switch strings.ToLower(name) {
		case "namespaces":
			ok = ok && slices.Contains(strings.Split(value, ","), "git")
		case "valid-after", "valid-before":
			at, err := keyTime(value)
			if err != nil {
				return false, err
			}
			ok = ok && (now.Before(at) == strings.EqualFold(name, "valid-before"))
		default:
			return false, fmt.Errorf("option %q is not supported", name)
		}
	}
	return ok, nil
}

func keyTime(s string) (time.Time, error) {
	loc := time.Local
	if utc, ok := strings.CutSuffix(s, "Z"); ok {
		s, loc = utc, time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(s) == len(layout) {
			return time.ParseInLocation(layout, s, loc)
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: want YYYYMMDD[HHMM[SS]][Z]", s)
}
