package gitrepo

import (
	"bytes"
	"testing"
	"time"
)

// FuzzSplit: what is left of a commit is the commit without its signature, and
// nothing that is not in the commit.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("tree 1\nparent 2\ngpgsig -----BEGIN SSH SIGNATURE-----\n abc\n -----END\n\nmessage\ngpgsig x\n y\n"))
	f.Add([]byte("gpgsig a\ngpgsig b\n\n"))
	f.Add([]byte(" \ngpgsig"))
	f.Add([]byte("gpgsig "))
	f.Fuzz(func(t *testing.T, raw []byte) {
		payload, signature := split(raw)
		if len(payload)+len(signature) > len(raw) {
			t.Errorf("%d bytes of payload and %d of signature in %d", len(payload), len(signature), len(raw))
		}
		if signature == nil && !bytes.Equal(payload, raw) {
			t.Error("an unsigned commit is changed")
		}
		if _, message, ok := bytes.Cut(raw, []byte("\n\n")); ok && !bytes.HasSuffix(payload, message) {
			t.Error("the message is changed")
		}
	})
}

func FuzzSignature(f *testing.F) {
	f.Add([]byte("SSHSIG\x00\x00\x00\x01\x00\x00\x00\x00"), []byte("a namespaces=\"git\" ssh-ed25519 AAAA"))
	f.Fuzz(func(t *testing.T, blob, allowed []byte) {
		if verifySSH([]byte("payload"), blob, allowed, time.Now()) == nil {
			t.Error("a signature was forged")
		}
	})
}
