//go:build !linux

package bgp

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

var errLinux = errors.New("announcing needs Linux")

func control(*Neighbor, *Options, netip.Addr) func(string, string, syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error { return errLinux }
}

func controlListener([]*Neighbor) func(string, string, syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error { return errLinux }
}

func limitTTL(net.Conn, *Neighbor, *Options) error { return errLinux }

func canSign() bool { return false }
