// Package natsconn carries byte streams over NATS: a Listener that is a
// net.Listener, and Dial, whose connections are net.Conns. Requests that another
// region must answer travel on them as ordinary HTTP, and edges need to reach each
// other by NATS alone.
//
// A stream is two subjects, an inbox of each side. Each message is a frame of one of
// these kinds, its first byte:
//
//	'D' seq bytes  data; seq counts the frames of data from 0, so that a gap is seen
//	'C' n          credit: the receiver's user took n frames
//	'P'            ping, once a second, so that a peer that died is missed
//	'F' seq        end, behind all data
//
// An end that is closed gives credit for all that was read before it says so: of the
// rest its peer knows that nobody has seen it, and may say it again on another stream.
//
// A sender has at most window frames under way. What breaks a rule, leaves a gap or
// is silent for silence ends the stream with an error, never with part of the data
// and io.EOF.
//
// Each Conn runs three goroutines; Close waits for them.
package natsconn
