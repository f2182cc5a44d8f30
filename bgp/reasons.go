package bgp

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	gobgplog "github.com/osrg/gobgp/v3/pkg/log"
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

// sentReason says why this edge ended a session or refused one.
func sentReason(f gobgplog.Fields) string {
	e, ok := f["Data"].(*packet.MessageError)
	if !ok {
		return "this edge ended the session: " + notification(f)
	}
	if e.TypeCode == packet.BGP_ERROR_OPEN_MESSAGE_ERROR {
		switch e.SubTypeCode {
		case packet.BGP_ERROR_SUB_BAD_PEER_AS:
			return "the router is in another AS than configured: " + e.Message
		case packet.BGP_ERROR_SUB_BAD_BGP_IDENTIFIER:
			return "the router has the same router id as this edge: " + e.Message
		}
	}
	return "this edge refused the router's message: " + e.Message
}

func notification(f gobgplog.Fields) string {
	code, _ := f["Code"].(uint8)
	sub, _ := f["Subcode"].(uint8)
	text := packet.NewNotificationErrorCode(code, sub).String()
	if said, _ := f["Communicated-Reason"].(string); said != "" {
		text += fmt.Sprintf(", %.128q", said)
	}
	return text
}
