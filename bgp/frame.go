package bgp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

const (
	headerSize   = 19
	maxFrame     = 4096 // RFC 4271 4.1
	routeRefresh = headerSize + 4
)

// frame is one BGP message as it goes over the wire.
type frame []byte

func (f frame) kind() uint8 { return f[18] }

func (f frame) body() []byte { return f[headerSize:] }

// wireError is what a router did wrong, and what it is told.
type wireError struct {
	code, sub uint8
	text      string
}

func (e *wireError) Error() string { return e.text }

// readFrame reads one message of at most maxFrame bytes.
func readFrame(r io.Reader) (frame, error) {
	f := make(frame, headerSize, 64)
	if _, err := io.ReadFull(r, f); err != nil {
		return nil, err
	}
	if !bytes.Equal(f[:16], bytes.Repeat([]byte{0xff}, 16)) {
		return nil, &wireError{packet.BGP_ERROR_MESSAGE_HEADER_ERROR, packet.BGP_ERROR_SUB_CONNECTION_NOT_SYNCHRONIZED, "bytes that are no BGP"}
	}
	size := int(binary.BigEndian.Uint16(f[16:]))
	if size < headerSize || size > maxFrame {
		return nil, &wireError{packet.BGP_ERROR_MESSAGE_HEADER_ERROR, packet.BGP_ERROR_SUB_BAD_MESSAGE_LENGTH, fmt.Sprintf("a message of %d bytes", size)}
	}
	f = append(f, make([]byte, size-headerSize)...)
	if _, err := io.ReadFull(r, f[headerSize:]); err != nil {
		return nil, err
	}
	return f, nil
}

// parse decodes a frame. GoBGP's decoders are not trusted with what strangers
// send: a panic is an error.
func (f frame) parse() (m *packet.BGPMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decode: %v", p)
		}
	}()
	m, err = packet.ParseBGPMessage(f)
	if err == nil && m == nil {
		err = errors.New("decode: nothing")
	}
	return m, err
}

func serialize(m *packet.BGPMessage) (frame, error) {
	b, err := m.Serialize()
	return frame(b), err
}

// cleanOpen is a router's OPEN with the capabilities that matter here: the
// rest would only reach code that nobody needs.
func cleanOpen(f frame) (frame, *packet.BGPOpen, error) {
	m, err := f.parse()
	if err != nil {
		return nil, nil, &wireError{packet.BGP_ERROR_OPEN_MESSAGE_ERROR, 0, "an OPEN that cannot be read: " + err.Error()}
	}
	open, ok := m.Body.(*packet.BGPOpen)
	if !ok {
		return nil, nil, &wireError{packet.BGP_ERROR_FSM_ERROR, 0, "something else than an OPEN at first"}
	}
	var caps []packet.ParameterCapabilityInterface
	for _, p := range open.OptParams {
		if c, ok := p.(*packet.OptionParameterCapability); ok {
			for _, c := range c.Capability {
				switch c.(type) {
				case *packet.CapMultiProtocol, *packet.CapRouteRefresh, *packet.CapFourOctetASNumber, *packet.CapGracefulRestart:
					caps = append(caps, c)
				}
			}
		}
	}
	var params []packet.OptionParameterInterface
	if len(caps) > 0 {
		params = append(params, packet.NewOptionParameterCapability(caps))
	}
	clean, err := serialize(packet.NewBGPOpenMessage(open.MyAS, open.HoldTime, open.ID.String(), params))
	return clean, open, err
}

// openASN is the AS number of an OPEN, by capability if it has four octets.
func openASN(open *packet.BGPOpen) uint32 {
	asn := uint32(open.MyAS)
	for _, p := range open.OptParams {
		if c, ok := p.(*packet.OptionParameterCapability); ok {
			for _, c := range c.Capability {
				if four, ok := c.(*packet.CapFourOctetASNumber); ok {
					asn = four.CapValue
				}
			}
		}
	}
	return asn
}

// The next hops by which the export policy says "the address of the session",
// which only the guard knows.
func sessionNextHop(fam family) netip.Addr {
	if fam == ipv4 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// prefixes lists what an update of our own announces and withdraws.
func prefixes(u *packet.BGPUpdate) (add, del []netip.Prefix) {
	parse := func(list []netip.Prefix, nlri fmt.Stringer) []netip.Prefix {
		if p, err := netip.ParsePrefix(nlri.String()); err == nil {
			return append(list, p)
		}
		return list
	}
	for _, p := range u.WithdrawnRoutes {
		del = parse(del, p)
	}
	for _, p := range u.NLRI {
		add = parse(add, p)
	}
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *packet.PathAttributeMpReachNLRI:
			for _, p := range a.Value {
				add = parse(add, p)
			}
		case *packet.PathAttributeMpUnreachNLRI:
			for _, p := range a.Value {
				del = parse(del, p)
			}
		}
	}
	return add, del
}

// setNextHop replaces sessionNextHop in an update of our own by the address, of
// the same length.
func (f frame) setNextHop(local netip.Addr) {
	placeholder, addr := sessionNextHop(familyOf(local)).AsSlice(), local.AsSlice()
	_, rest, ok := cut(f.body()) // withdrawn routes
	if !ok {
		return
	}
	attrs, _, ok := cut(rest)
	for ok && len(attrs) > 3 {
		flags, kind := attrs[0], attrs[1]
		var value []byte
		if flags&uint8(packet.BGP_ATTR_FLAG_EXTENDED_LENGTH) != 0 {
			value, attrs, ok = cut(attrs[2:])
		} else {
			value, attrs, ok = cutN(attrs[3:], int(attrs[2]))
		}
		switch packet.BGPAttrType(kind) {
		case packet.BGP_ATTR_TYPE_NEXT_HOP:
		case packet.BGP_ATTR_TYPE_MP_REACH_NLRI:
			if len(value) < 4 {
				return
			}
			value = value[4:] // family and length
		default:
			continue
		}
		if bytes.HasPrefix(value, placeholder) {
			copy(value, addr)
		}
	}
}

// cut splits b behind a part whose length stands in its first two bytes.
func cut(b []byte) (part, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	return cutN(b[2:], int(binary.BigEndian.Uint16(b)))
}

func cutN(b []byte, n int) (part, rest []byte, ok bool) {
	if len(b) < n {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}
