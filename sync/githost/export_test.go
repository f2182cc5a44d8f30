package githost

import "golang.org/x/crypto/ssh"

// HostKey is the public key of the ssh server, known once Ready is closed.
func (h *Host) HostKey() ssh.PublicKey { return h.hostKey.PublicKey() }
