package state

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/state/index"
	"github.com/terrane/terrane/internal/lattice/state/integrity"
)

// Headers of a stored entry, and of what JetStream answers.
const (
	hdrExpires    = "Terrane-Expires" // nanoseconds since 1970, by the lattice's clock
	hdrOp         = "KV-Operation"    // as other clients of such buckets know it
	hdrExpected   = "Nats-Expected-Last-Subject-Sequence"
	hdrExpectedOf = "Nats-Expected-Last-Subject-Sequence-Subject"
	hdrWrite      = "Terrane-Write" // tells a write from all others
	hdrTTL        = "Nats-TTL"
	hdrSize       = "Nats-Msg-Size"
	hdrSequence   = "Nats-Sequence"
	hdrSubject    = "Nats-Subject"
	hdrUpTo       = "Nats-UpTo-Sequence"
	opDelete      = "DEL"
)

// Error codes of JetStream for a version that is not the expected one.
const (
	codeWrongSequence        = 10071
	codeWrongSequenceUnknown = 10164 // another write to the key is on its way
)

// barrierToken is the subject's last token whose writes prove that there is a
// majority. Tenants' tokens begin with another letter.
const barrierToken = "barrier"

// raw is what a subject holds: a value, or the mark of a deleted one. The zero raw is
// a subject that holds nothing.
type raw struct {
	seq      uint64
	value    []byte
	expires  int64 // by the lattice's clock, 0: never
	deleted  bool
	write    string // which write made it
	replaced string // the sequence that it expected
}

// item is what the index knows of it.
func (r *raw) item(key string, size int) index.Item {
	return index.Item{Key: key, Seq: r.seq, Expires: r.expires, Size: uint32(size), Sum: integrity.Sum(r.write)}
}

// live reports whether there is an entry at a time of the lattice's clock.
func (r *raw) live(now int64) bool {
	return r.seq != 0 && !r.deleted && (r.expires == 0 || now < r.expires)
}

func (s *Store) stream() string { return "KV_" + s.opts.Bucket }

func (s *Store) barrierSubject() string { return "$KV." + s.opts.Bucket + "." + barrierToken }

// tenantToken and keyToken encode any bytes as one token of a subject.
func tenantToken(id string) string { return "t" + base64.RawURLEncoding.EncodeToString([]byte(id)) }

func keyToken(key string) string { return "k" + base64.RawURLEncoding.EncodeToString([]byte(key)) }

// parseSubject returns the tenant's token and the key of a subject of the bucket.
func (s *Store) parseSubject(subject string) (token, key string, ok bool) {
	rest, ok := strings.CutPrefix(subject, "$KV."+s.opts.Bucket+".")
	if !ok {
		return "", "", false
	}
	token, rest, _ = strings.Cut(rest, ".")
	rest, ok = strings.CutPrefix(rest, "k")
	if !ok || !strings.HasPrefix(token, "t") {
		return "", "", false
	}
	decoded, err := base64.RawURLEncoding.DecodeString(rest)
	return token, string(decoded), err == nil
}

// api is the prefix of JetStream's subjects here, or in the home region.
func (s *Store) api(home bool) string {
	if home && s.mirrors() {
		return "$JS." + s.opts.Home + ".API."
	}
	return "$JS.API."
}

// conn returns a connection that has a server, or says why there is none.
func (s *Store) conn(ctx context.Context) (*nats.Conn, error) {
	nc, err := s.lattice.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return nc, nil
}

// wrongVersionError is a write that expected another sequence than last, which is 0 if
// the subject holds nothing.
type wrongVersionError struct {
	last    uint64
	pending bool // it is not known yet: another write to the key is on its way
	doubt   bool // the write may have been done before, and be what was found
}

func (e wrongVersionError) Error() string { return hostcalls.ErrConflict.Error() }

// publish writes to a subject in the home region, and returns the sequence when the
// write is on the disks of a majority. An error but wrongVersionError leaves open
// whether it was done. Where nobody leads, nothing is done, and it is tried again; so it
// is when no answer comes, as whoever led is gone then: what names a sequence that it
// expects is not done twice.
func (s *Store) publish(ctx context.Context, m *nats.Msg) (uint64, error) {
	nc, err := s.conn(ctx)
	if err != nil {
		return 0, err
	}
	if s.mirrors() {
		m.Subject = s.api(true) + m.Subject
	}
	first := s.keys()
	passed := first.Last()
	for doubt := false; ; {
		x := s.keys()
		gaps := x.Gaps()
		attempt, cancel := context.WithTimeout(ctx, min(s.opts.Answer, s.opts.Timeout/4))
		reply, err := s.hooks.send(attempt, nc, m)
		cancel()
		switch {
		case err == nil:
			seq, err := parseAck(reply.Data)
			wrong, conflict := errors.AsType[wrongVersionError](err)
			if err == nil && seq <= passed && x == first {
				return 0, s.wentBack(seq, passed)
			}
			if err == nil {
				x.CloseGaps(gaps, seq)
			}
			if doubt && wrong.pending && lattice.Pause(ctx, 20*time.Millisecond) == nil {
				continue // it may be ours that is on its way
			}
			if wrong.doubt = doubt; conflict {
				err = wrong
			}
			return seq, err
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
			s.metrics.resent.Inc()
			doubt = true
			continue
		case !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, nats.ErrReconnectBufExceeded) && !errors.Is(err, nats.ErrDisconnected):
			return 0, fmt.Errorf("state: no majority has confirmed the write: %w", err)
		}
		if waited := lattice.Pause(ctx, 50*time.Millisecond); waited != nil {
			return 0, fmt.Errorf("state: nobody leads it (a majority of its edges is down, or this edge is cut off): %w", waited)
		}
	}
}

func parseAck(data []byte) (uint64, error) {
	var ack struct {
		Seq   uint64 `json:"seq"`
		Error *struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return 0, fmt.Errorf("state: a broken confirmation: %w", err)
	}
	switch {
	case ack.Error == nil && ack.Seq > 0:
		return ack.Seq, nil
	case ack.Error == nil:
		return 0, errors.New("state: a confirmation without a sequence")
	case ack.Error.Code == codeWrongSequence:
		_, last, _ := strings.Cut(ack.Error.Description, ": ")
		seq, _ := strconv.ParseUint(last, 10, 64)
		return 0, wrongVersionError{last: seq}
	case ack.Error.Code == codeWrongSequenceUnknown:
		return 0, wrongVersionError{pending: true}
	}
	return 0, fmt.Errorf("state: refused: %s (%d)", ack.Error.Description, ack.Error.Code)
}

// getLast reads what a subject holds here: the copy of whichever server answers.
func (s *Store) getLast(ctx context.Context, nc *nats.Conn, subject string) (raw, error) {
	m, err := nc.RequestWithContext(ctx, s.api(false)+"DIRECT.GET."+s.stream()+"."+subject, nil)
	if err != nil {
		return raw{}, fmt.Errorf("state: %w", err)
	}
	return parseRaw(m)
}

// getUpTo reads what a subject holds in the home region, and up to which sequence the
// copy that answered says that it is complete.
func (s *Store) getUpTo(ctx context.Context, nc *nats.Conn, subject string) (r raw, upTo uint64, err error) {
	body, err := json.Marshal(map[string]any{"multi_last": []string{subject, s.barrierSubject()}})
	if err != nil {
		return raw{}, 0, err
	}
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return raw{}, 0, fmt.Errorf("state: %w", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is gone then
	if err := nc.PublishRequest(s.api(true)+"DIRECT.GET."+s.stream(), sub.Subject, body); err != nil {
		return raw{}, 0, fmt.Errorf("state: %w", err)
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return raw{}, 0, fmt.Errorf("state: %w", err)
		}
		if up := m.Header.Get(hdrUpTo); up != "" {
			upTo, err = strconv.ParseUint(up, 10, 64)
			return r, upTo, err
		}
		if m.Header.Get("Status") != "" || m.Header.Get(hdrSubject) == subject {
			if r, err = parseRaw(m); err != nil || r.seq == 0 {
				return r, 0, err
			}
		}
	}
}

// parseRaw reads an answer of JetStream.
func parseRaw(m *nats.Msg) (r raw, err error) {
	switch status := m.Header.Get("Status"); status {
	case "":
	case "404":
		return raw{}, nil
	default:
		return raw{}, fmt.Errorf("state: %s %s", status, m.Header.Get("Description"))
	}
	if r.seq, err = strconv.ParseUint(m.Header.Get(hdrSequence), 10, 64); err != nil {
		return raw{}, fmt.Errorf("state: a broken answer: %w", err)
	}
	r.value = m.Data
	return r, r.parse(m.Header)
}

// parse reads the headers that a write has set.
func (r *raw) parse(h nats.Header) (err error) {
	r.write, r.replaced = h.Get(hdrWrite), h.Get(hdrExpected)
	r.deleted = h.Get(hdrOp) != "" || h.Get("Nats-Marker-Reason") != ""
	if at := h.Get(hdrExpires); at != "" {
		if r.expires, err = strconv.ParseInt(at, 10, 64); err != nil {
			return fmt.Errorf("state: an entry of another program: %w", err)
		}
	}
	return nil
}
