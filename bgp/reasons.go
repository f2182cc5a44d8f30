package bgp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

func connectReason(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no BGP speaker listens there, or it does not know this edge's address"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to the router"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "local_address is not on this host"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer: unreachable, filtered, or the passwords differ"
	}
	return fmt.Sprintf("connect: %v", err)
}

// lost says why nothing more can be read from the router, and tells it if it is to blame.
func (r *relay) lost(err error) string {
	var wrong *wireError
	if errors.As(err, &wrong) {
		reason := "the router sent " + wrong.text
		r.because(reason) // before the end of the inner session is one
		if f, err := serialize(packet.NewBGPNotificationMessage(wrong.code, wrong.sub, nil)); err == nil {
			r.notify(f)
		}
		return reason
	}
	r.mu.Lock()
	accepted, established := r.theirs, r.ours && r.theirs
	r.mu.Unlock()
	var timeout net.Error
	switch {
	case established && errors.As(err, &timeout) && timeout.Timeout():
		return "session closed by this edge"
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("the router took the connection, and said nothing for %v", openTimeout)
	case errors.Is(err, net.ErrClosed):
		return "session closed by this edge"
	case accepted && !established:
		return "the router closed the connection in the middle of the session's start: its log may say why"
	case !established:
		return fmt.Sprintf("the router closed the connection: see that it expects AS %d from %v", r.opts.ASN, r.local)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "session lost: the router closed the connection"
	}
	return "session lost: " + err.Error()
}

// refusal says what a router's NOTIFICATION means.
func (r *relay) refusal(f frame) string {
	code, text := notification(f)
	if code == packet.BGP_ERROR_OPEN_MESSAGE_ERROR {
		return fmt.Sprintf("the router refused the session, %s: see that it expects AS %d from %v, and router id %v from nobody else", text, r.opts.ASN, r.local, r.opts.RouterID)
	}
	return "the router ended the session: " + text
}

// sentReason says what GoBGP's NOTIFICATION means.
func (r *relay) sentReason(f frame) string {
	code, text := notification(f)
	sub := uint8(0)
	if len(f.body()) > 1 {
		sub = f.body()[1]
	}
	asn, id := r.sess.peer()
	switch {
	case code == packet.BGP_ERROR_OPEN_MESSAGE_ERROR && sub == packet.BGP_ERROR_SUB_BAD_PEER_AS:
		return fmt.Sprintf("the router is in AS %d, not AS %d: mend the neighbor's asn", asn, r.n.ASN)
	case code == packet.BGP_ERROR_OPEN_MESSAGE_ERROR && sub == packet.BGP_ERROR_SUB_BAD_BGP_IDENTIFIER:
		return fmt.Sprintf("the router has the router id %s, which is this edge's own or none", id)
	case code == packet.BGP_ERROR_HOLD_TIMER_EXPIRED:
		return "the router fell silent: nothing came within the hold time"
	}
	return "this edge ended the session: " + text
}

const ceaseBFDDown = 10 // RFC 9384

// notification reads a NOTIFICATION and the words with it (RFC 9003).
func notification(f frame) (uint8, string) {
	b := f.body()
	if len(b) < 2 {
		return 0, "a NOTIFICATION without a code"
	}
	text := packet.NewNotificationErrorCode(b[0], b[1]).String()
	if b[0] == packet.BGP_ERROR_CEASE && b[1] == ceaseBFDDown {
		text = "its BFD session with this edge is down"
	}
	if b[0] == packet.BGP_ERROR_CEASE && len(b) > 3 && int(b[2]) <= len(b)-3 && b[2] > 0 {
		text += fmt.Sprintf(", %.128q", b[3:3+b[2]])
	}
	return b[0], text
}
