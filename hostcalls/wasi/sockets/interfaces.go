package sockets

import "github.com/terrane/terrane/hostcalls/wasi/abi"

const types = `
	error-code = enum{unknown, access-denied, not-supported, invalid-argument, out-of-memory, timeout, concurrency-conflict, not-in-progress,
		would-block, invalid-state, new-socket-limit, address-not-bindable, address-in-use, remote-unreachable, connection-refused,
		connection-reset, connection-aborted, datagram-too-large, name-unresolvable, temporary-resolver-failure, permanent-resolver-failure}
	duration = u64
	ip-address-family = enum{ipv4, ipv6}
	ipv4-address = tuple<u8, u8, u8, u8>
	ipv6-address = tuple<u16, u16, u16, u16, u16, u16, u16, u16>
	ip-address = variant{ipv4(ipv4-address), ipv6(ipv6-address)}
	ipv4-socket-address = record{port: u16, address: ipv4-address}
	ipv6-socket-address = record{port: u16, flow-info: u32, address: ipv6-address, scope-id: u32}
	ip-socket-address = variant{ipv4(ipv4-socket-address), ipv6(ipv6-socket-address)}
	shutdown-type = enum{receive, send, both}
	incoming-datagram = record{data: list<u8>, remote-address: ip-socket-address}
	outgoing-datagram = record{data: list<u8>, remote-address: option<ip-socket-address>}`

// Interfaces are those of wasi:sockets.
func Interfaces() []abi.Interface {
	return []abi.Interface{{
		Name: "wasi:sockets/instance-network", Version: "0.2", Uses: "network",
		Funcs: []abi.Func{{Name: "instance-network", Type: "func() -> network", Do: instanceNetwork}},
	}, {
		Name: "wasi:sockets/network", Version: "0.2", Uses: "error", Types: types,
		Resources: []abi.ResourceType{abi.NewResource[*network]("network")},
		Funcs:     []abi.Func{{Name: "network-error-code", Type: "func(err: borrow<error>) -> option<error-code>", Do: networkErrorCode}},
	}, {
		Name: "wasi:sockets/ip-name-lookup", Version: "0.2", Uses: "network pollable", Types: types,
		Resources: []abi.ResourceType{abi.NewResource[*lookup]("resolve-address-stream")},
		Funcs: []abi.Func{
			{Name: "resolve-addresses", Type: "func(network: borrow<network>, name: string) -> result<resolve-address-stream, error-code>", Do: resolveAddresses},
			{Name: "[method]resolve-address-stream.resolve-next-address", Type: "func(self: borrow<resolve-address-stream>) -> result<option<ip-address>, error-code>", Do: resolveNext},
			{Name: "[method]resolve-address-stream.subscribe", Type: "func(self: borrow<resolve-address-stream>) -> pollable", Do: lookupSubscribe},
		},
	}, {
		Name: "wasi:sockets/tcp-create-socket", Version: "0.2", Uses: "tcp-socket", Types: types,
		Funcs: []abi.Func{{Name: "create-tcp-socket", Type: "func(address-family: ip-address-family) -> result<tcp-socket, error-code>", Do: create}},
	}, {
		Name: "wasi:sockets/udp-create-socket", Version: "0.2", Uses: "udp-socket", Types: types,
		Funcs: []abi.Func{{Name: "create-udp-socket", Type: "func(address-family: ip-address-family) -> result<udp-socket, error-code>", Do: create}},
	}, {
		Name: "wasi:sockets/tcp", Version: "0.2", Uses: "network pollable input-stream output-stream", Types: types,
		Resources: []abi.ResourceType{abi.NewResource[*tcpSocket]("tcp-socket")},
		Funcs: []abi.Func{
			{Name: "[method]tcp-socket.start-bind", Type: "func(self: borrow<tcp-socket>, network: borrow<network>, local-address: ip-socket-address) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.finish-bind", Type: "func(self: borrow<tcp-socket>) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.start-connect", Type: "func(self: borrow<tcp-socket>, network: borrow<network>, remote-address: ip-socket-address) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.finish-connect", Type: "func(self: borrow<tcp-socket>) -> result<tuple<input-stream, output-stream>, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.start-listen", Type: "func(self: borrow<tcp-socket>) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.finish-listen", Type: "func(self: borrow<tcp-socket>) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.accept", Type: "func(self: borrow<tcp-socket>) -> result<tuple<tcp-socket, input-stream, output-stream>, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.local-address", Type: "func(self: borrow<tcp-socket>) -> result<ip-socket-address, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.remote-address", Type: "func(self: borrow<tcp-socket>) -> result<ip-socket-address, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.is-listening", Type: "func(self: borrow<tcp-socket>) -> bool", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.address-family", Type: "func(self: borrow<tcp-socket>) -> ip-address-family", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.set-listen-backlog-size", Type: "func(self: borrow<tcp-socket>, value: u64) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.keep-alive-enabled", Type: "func(self: borrow<tcp-socket>) -> result<bool, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.set-keep-alive-enabled", Type: "func(self: borrow<tcp-socket>, value: bool) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.keep-alive-idle-time", Type: "func(self: borrow<tcp-socket>) -> result<duration, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.set-keep-alive-idle-time", Type: "func(self: borrow<tcp-socket>, value: duration) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.keep-alive-interval", Type: "func(self: borrow<tcp-socket>) -> result<duration, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.set-keep-alive-interval", Type: "func(self: borrow<tcp-socket>, value: duration) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.keep-alive-count", Type: "func(self: borrow<tcp-socket>) -> result<u32, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.set-keep-alive-count", Type: "func(self: borrow<tcp-socket>, value: u32) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.hop-limit", Type: "func(self: borrow<tcp-socket>) -> result<u8, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.set-hop-limit", Type: "func(self: borrow<tcp-socket>, value: u8) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.receive-buffer-size", Type: "func(self: borrow<tcp-socket>) -> result<u64, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.set-receive-buffer-size", Type: "func(self: borrow<tcp-socket>, value: u64) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.send-buffer-size", Type: "func(self: borrow<tcp-socket>) -> result<u64, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.set-send-buffer-size", Type: "func(self: borrow<tcp-socket>, value: u64) -> result<_, error-code>", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.subscribe", Type: "func(self: borrow<tcp-socket>) -> pollable", Do: of[*tcpSocket]},
			{Name: "[method]tcp-socket.shutdown", Type: "func(self: borrow<tcp-socket>, shutdown-type: shutdown-type) -> result<_, error-code>", Do: of[*tcpSocket]},
		},
	}, {
		Name: "wasi:sockets/udp", Version: "0.2", Uses: "network pollable", Types: types,
		Resources: []abi.ResourceType{
			abi.NewResource[*udpSocket]("udp-socket"),
			abi.NewResource[*incomingDatagram]("incoming-datagram-stream"), abi.NewResource[*outgoingDatagram]("outgoing-datagram-stream"),
		},
		Funcs: []abi.Func{
			{Name: "[method]udp-socket.start-bind", Type: "func(self: borrow<udp-socket>, network: borrow<network>, local-address: ip-socket-address) -> result<_, error-code>", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.finish-bind", Type: "func(self: borrow<udp-socket>) -> result<_, error-code>", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.stream", Type: "func(self: borrow<udp-socket>, remote-address: option<ip-socket-address>) -> result<tuple<incoming-datagram-stream, outgoing-datagram-stream>, error-code>", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.local-address", Type: "func(self: borrow<udp-socket>) -> result<ip-socket-address, error-code>", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.remote-address", Type: "func(self: borrow<udp-socket>) -> result<ip-socket-address, error-code>", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.address-family", Type: "func(self: borrow<udp-socket>) -> ip-address-family", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.unicast-hop-limit", Type: "func(self: borrow<udp-socket>) -> result<u8, error-code>", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.set-unicast-hop-limit", Type: "func(self: borrow<udp-socket>, value: u8) -> result<_, error-code>", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.receive-buffer-size", Type: "func(self: borrow<udp-socket>) -> result<u64, error-code>", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.set-receive-buffer-size", Type: "func(self: borrow<udp-socket>, value: u64) -> result<_, error-code>", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.send-buffer-size", Type: "func(self: borrow<udp-socket>) -> result<u64, error-code>", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.set-send-buffer-size", Type: "func(self: borrow<udp-socket>, value: u64) -> result<_, error-code>", Do: of[*udpSocket]},
			{Name: "[method]udp-socket.subscribe", Type: "func(self: borrow<udp-socket>) -> pollable", Do: of[*udpSocket]},
			{Name: "[method]incoming-datagram-stream.receive", Type: "func(self: borrow<incoming-datagram-stream>, max-results: u64) -> result<list<incoming-datagram>, error-code>", Do: of[*incomingDatagram]},
			{Name: "[method]incoming-datagram-stream.subscribe", Type: "func(self: borrow<incoming-datagram-stream>) -> pollable", Do: of[*incomingDatagram]},
			{Name: "[method]outgoing-datagram-stream.check-send", Type: "func(self: borrow<outgoing-datagram-stream>) -> result<u64, error-code>", Do: of[*outgoingDatagram]},
			{Name: "[method]outgoing-datagram-stream.send", Type: "func(self: borrow<outgoing-datagram-stream>, datagrams: list<outgoing-datagram>) -> result<u64, error-code>", Do: of[*outgoingDatagram]},
			{Name: "[method]outgoing-datagram-stream.subscribe", Type: "func(self: borrow<outgoing-datagram-stream>) -> pollable", Do: of[*outgoingDatagram]},
		},
	}}
}
