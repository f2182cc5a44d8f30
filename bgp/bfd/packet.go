package bfd

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// State of a session (RFC 5880 4.1).
type State uint8

// The states, by their numbers on the wire.
const (
	AdminDown State = iota
	Down
	Init
	Up
)

// String is the state in lower case.
func (s State) String() string {
	switch s {
	case AdminDown:
		return "admin down"
	case Down:
		return "down"
	case Init:
		return "init"
	case Up:
		return "up"
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// MarshalText implements encoding.TextMarshaler by String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Diagnostics that are sent (RFC 5880 4.1).
const (
	diagNone      = 0
	diagExpired   = 1
	diagSignalled = 3
	diagAdminDown = 7
)

const packetSize = 24

// packet is a control packet without authentication. Intervals are in microseconds.
type packet struct {
	diag        uint8
	state       State
	poll, final bool
	multiplier  uint8
	mine, yours uint32 // discriminators, as the sender sees them
	minTx       uint32
	minRx       uint32
}

func (p packet) marshal() []byte {
	b := make([]byte, packetSize)
	b[0] = 1<<5 | p.diag&0x1f
	b[1] = uint8(p.state) << 6
	if p.poll {
		b[1] |= 0x20
	}
	if p.final {
		b[1] |= 0x10
	}
	b[2], b[3] = p.multiplier, packetSize
	binary.BigEndian.PutUint32(b[4:], p.mine)
	binary.BigEndian.PutUint32(b[8:], p.yours)
	binary.BigEndian.PutUint32(b[12:], p.minTx)
	binary.BigEndian.PutUint32(b[16:], p.minRx)
	return b // no echo: the last field stays 0
}

var (
	errShort    = errors.New("bfd: length that lies")
	errVersion  = errors.New("bfd: version other than 1")
	errAuth     = errors.New("bfd: authentication, which is not spoken here")
	errMultiple = errors.New("bfd: multipoint")
	errFields   = errors.New("bfd: zero multiplier or discriminator")
	errUnbound  = errors.New("bfd: no discriminator in a state that needs one")
)

// unmarshal makes the checks of RFC 5880 6.8.6 that need no session.
func unmarshal(b []byte) (packet, error) {
	if len(b) < packetSize || int(b[3]) < packetSize || int(b[3]) > len(b) {
		return packet{}, errShort
	}
	p := packet{
		diag: b[0] & 0x1f, state: State(b[1] >> 6), multiplier: b[2],
		poll: b[1]&0x20 != 0, final: b[1]&0x10 != 0,
		mine: binary.BigEndian.Uint32(b[4:]), yours: binary.BigEndian.Uint32(b[8:]),
		minTx: binary.BigEndian.Uint32(b[12:]), minRx: binary.BigEndian.Uint32(b[16:]),
	}
	switch {
	case b[0]>>5 != 1:
		return p, errVersion
	case b[1]&0x04 != 0:
		return p, errAuth
	case b[1]&0x01 != 0:
		return p, errMultiple
	case p.multiplier == 0 || p.mine == 0:
		return p, errFields
	case p.yours == 0 && p.state > Down:
		return p, errUnbound
	}
	return p, nil
}
