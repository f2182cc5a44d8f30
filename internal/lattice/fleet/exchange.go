package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"github.com/terrane/terrane/tenant"
)

// Bounds of what is answered.
const (
	maxQuestion = 8 << 10
	maxServing  = 4
	maxWaiting  = 64
	maxAskers   = 1024
	perSecond   = 500
	pageSize    = 500
	maxPage     = 512 << 10 // bytes
	chunk       = 256 << 10
	maxRate     = 32 << 20 // bytes of objects a second
	maxText     = 256      // of what a peer says for people
)

const (
	headerSize  = "Terrane-Size"
	headerError = "Terrane-Error"
)

type question struct {
	Prefix  string      `json:"prefix,omitempty"`
	Buckets []int       `json:"buckets,omitempty"`
	After   tenant.ID   `json:"after,omitempty"`
	Tenant  tenant.ID   `json:"tenant,omitempty"`
	Content tenant.Hash `json:"content,omitzero"`
	Object  tenant.Hash `json:"object,omitzero"`
	Offset  int64       `json:"offset,omitempty"`
}

type sumsAnswer struct {
	Buckets [tenant.Buckets]tenant.Sum `json:"buckets"`
}

type servedAnswer struct {
	Served []tenant.Served `json:"served"` // by ID
	More   bool            `json:"more,omitempty"`
}

// sound reports whether what a peer serves can be a tenant of the store, and cuts what it
// says for people.
func sound(s *tenant.Served, prefix string) bool {
	id, err := tenant.ParseIDOrPreview(string(s.ID))
	if _, under := id.Under(prefix); err != nil || id != s.ID || !under {
		return false
	}
	texts := []*string{(*string)(&s.Revision)}
	if s.Pin != nil {
		texts = append(texts, &s.Pin.By, &s.Pin.Reason, &s.Pin.Edge)
	}
	for _, t := range texts {
		*t = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return '?'
			}
			return r
		}, (*t)[:min(len(*t), maxText)])
	}
	return true
}

// answerAll answers questions until ctx ends.
func (f *Fleet) answerAll(ctx context.Context, questions <-chan *nats.Msg) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		var m *nats.Msg
		select {
		case <-ctx.Done():
			return
		case m = <-questions:
		}
		asker, verb, ok := parseSubject(m.Subject)
		if !ok || len(m.Data) > maxQuestion || m.Reply == "" || !f.allowed(asker) {
			continue
		}
		select {
		case f.serving <- struct{}{}:
		case <-ctx.Done():
			return
		}
		wg.Go(func() {
			defer func() { <-f.serving }()
			f.answer(ctx, m, verb)
		})
	}
}

func parseSubject(subject string) (asker, verb string, ok bool) {
	parts := strings.Split(strings.TrimPrefix(subject, subjects), ".")
	if len(parts) != 3 {
		return "", "", false
	}
	return parts[0], parts[2], true
}

// allowed is called by answerAll alone.
func (f *Fleet) allowed(asker string) bool {
	l := f.askers[asker]
	if l == nil {
		if len(f.askers) >= maxAskers {
			clear(f.askers)
		}
		l = rate.NewLimiter(perSecond, perSecond)
		f.askers[asker] = l
	}
	return l.Allow()
}

func (f *Fleet) answer(ctx context.Context, m *nats.Msg, verb string) {
	out := nats.NewMsg(m.Reply)
	var q question
	err := json.Unmarshal(m.Data, &q)
	if err == nil {
		switch verb {
		case "sums":
			out.Data, err = f.sums(q)
		case "served":
			out.Data, err = f.page(q)
		case "object":
			out.Data, err = f.object(ctx, q, out.Header)
		default:
			return // of a later version
		}
	}
	if err != nil {
		out.Data = nil
		out.Header.Set(headerError, strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\n", " "), "?"))
	}
	if err := m.RespondMsg(out); err != nil {
		f.log.Debug("a question was not answered", "subject", m.Subject, "err", err)
	}
}

func (f *Fleet) sums(q question) ([]byte, error) {
	for _, s := range f.source.ServedStores() {
		if s.Prefix == q.Prefix {
			return json.Marshal(sumsAnswer{s.Buckets})
		}
	}
	return nil, errors.New("no such store")
}

func (f *Fleet) page(q question) ([]byte, error) {
	var want [tenant.Buckets]bool
	for _, b := range q.Buckets {
		if b >= 0 && b < len(want) {
			want[b] = true
		}
	}
	list := f.source.Served(q.Prefix, func(b int) bool { return want[b] })
	list = slices.DeleteFunc(list, func(s tenant.Served) bool { return s.ID <= q.After })
	slices.SortFunc(list, func(a, b tenant.Served) int { return cmp.Compare(a.ID, b.ID) })
	for n := min(len(list), pageSize); ; n /= 2 {
		data, err := json.Marshal(servedAnswer{Served: list[:n], More: n < len(list)})
		if err != nil || len(data) <= maxPage || n <= 1 {
			return data, err
		}
	}
}

// object reads one piece of an object.
func (f *Fleet) object(ctx context.Context, q question, h nats.Header) ([]byte, error) {
	r, size, err := f.source.OpenServed(q.Tenant, q.Content, q.Object)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("not here")
	}
	if err != nil {
		return nil, err
	}
	data := make([]byte, max(0, min(chunk, size-q.Offset)))
	if err = f.bytes.WaitN(ctx, len(data)); err == nil {
		_, err = r.Seek(q.Offset, io.SeekStart)
	}
	if err == nil {
		_, err = io.ReadFull(r, data)
	}
	h.Set(headerSize, strconv.FormatInt(size, 10))
	return data, errors.Join(err, r.Close())
}

// remote reads an object of a peer, piece by piece.
type remote struct {
	ctx  context.Context // of the one fetch that it serves
	peer peer
	q    question
	data []byte // that was had and not read
	size int64
}

func (r *remote) next() error {
	m, err := r.peer.request(r.ctx, "object", r.q)
	if err != nil {
		return err
	}
	size, err := strconv.ParseInt(m.Header.Get(headerSize), 10, 64)
	if err != nil || size < 0 || (len(m.Data) == 0 && r.q.Offset < size) || (r.q.Offset > 0 && size != r.size) {
		return errors.New("a peer's answer makes no sense")
	}
	r.data, r.size = m.Data, size
	r.q.Offset += int64(len(m.Data))
	return nil
}

// Read implements io.Reader.
func (r *remote) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		if r.q.Offset >= r.size {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

// Close implements io.Closer.
func (r *remote) Close() error { return nil }
