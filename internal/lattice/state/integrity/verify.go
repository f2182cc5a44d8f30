package integrity

import (
	"encoding/binary"
	"fmt"
	"iter"
	"maps"

	"github.com/terrane/terrane/internal/lattice/state/index"
)

// Loss is what Verify has found missing.
type Loss struct {
	Keys    map[Key]uint64      // and the sequence that each must at least have
	Tenants map[uint64]struct{} // whose keys they are
}

// Len is how many keys are missing.
func (l *Loss) Len() int {
	if l == nil {
		return 0
	}
	return len(l.Keys)
}

// part is how many records Verify compares at a time, which bounds its memory.
const part = 1 << 18

// Verify compares the ledger with what a bucket has at a time of the lattice's clock. Each
// key must be at the recorded sequence or a later one, unless the record has expired; a
// key that was deleted must not be at an earlier one. have may be called several times.
func (l *Ledger) Verify(now int64, have iter.Seq[Entry]) (*Loss, error) {
	l.mu.Lock()
	now = max(now, l.marked+int64(markSlack))
	parts := uint64(1 + (l.kept+l.logged)/part)
	read := Ledger{path: l.path, salt: l.salt, kept: l.kept}
	l.mu.Unlock()
	loss := newLoss()
	for i := range parts {
		want := map[Key]Entry{}
		read.damaged = 0
		err := read.each(func(e Entry) {
			if e.Key != (Key{}) && e.Name%parts == i && e.Seq >= want[e.Key].Seq {
				want[e.Key] = e
			}
		})
		if err != nil {
			return nil, err
		}
		loss.add(Missing(now, want, have))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.damaged = max(l.damaged, read.damaged)
	return loss, nil
}

func newLoss() *Loss { return &Loss{Keys: map[Key]uint64{}, Tenants: map[uint64]struct{}{}} }

func (l *Loss) add(more *Loss) {
	maps.Copy(l.Keys, more.Keys)
	maps.Copy(l.Tenants, more.Tenants)
}

// Drop removes the keys that must be at a sequence behind last.
func (l *Loss) Drop(last uint64) {
	maps.DeleteFunc(l.Keys, func(_ Key, seq uint64) bool { return seq > last })
}

// Missing is what a bucket lacks of the wanted entries. It uses up want.
func Missing(now int64, want map[Key]Entry, have iter.Seq[Entry]) *Loss {
	loss := newLoss()
	lost := func(e Entry) {
		loss.Keys[e.Key] = e.Seq
		loss.Tenants[e.Tenant] = struct{}{}
	}
	for h := range have {
		w, ok := want[h.Key]
		switch {
		case !ok:
		case h.Seq > w.Seq, h.Seq == w.Seq && (h.Sum == w.Sum || h.Expires == Dead):
			delete(want, h.Key)
		case h.Expires == Dead: // the deletion of an earlier one: what replaced it is missing, if it has not expired
		case w.Expires == Dead, w.Expires != 0 && w.Expires <= now:
			lost(w) // an earlier one is there again
			delete(want, h.Key)
		}
	}
	for _, w := range want {
		if w.Expires == 0 || w.Expires > now {
			lost(w)
		}
	}
	return loss
}

// Digest stands for the entries of a range of keys. Those that expire are left out: each
// edge forgets them at its own time.
type Digest struct {
	Count uint64 `json:"n"`
	Sum   uint64 `json:"sum"`
}

// Ranges is how many ranges keys are divided into.
const Ranges = 256

// Range is the one that a key is in.
func (k Key) Range() int { return int(k.Name % Ranges) }

// Digests are those of all ranges. Two edges that hash with the same salt and have the
// same entries have the same digests, in whatever order they are.
func Digests(entries iter.Seq[Entry]) []Digest {
	digests := make([]Digest, Ranges)
	for e := range entries {
		if e.Expires != 0 {
			continue
		}
		d := &digests[e.Range()]
		d.Count++
		d.Sum += mix(e.Name ^ mix(e.Seq^mix(uint64(e.Sum))))
	}
	return digests
}

// mix is the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Pack makes entries bytes, for another edge.
func Pack(entries []Entry) []byte {
	b := make([]byte, 0, len(entries)*packed)
	for i := range entries {
		e := &entries[i]
		b = binary.LittleEndian.AppendUint64(b, e.Tenant)
		b = binary.LittleEndian.AppendUint64(b, e.Name)
		b = binary.LittleEndian.AppendUint64(b, e.Seq)
		b = binary.LittleEndian.AppendUint64(b, uint64(e.Expires))
		b = binary.LittleEndian.AppendUint32(b, e.Sum)
	}
	return b
}

const packed = recordSize - 4

// Unpack is the reverse of Pack.
func Unpack(b []byte) ([]Entry, error) {
	if len(b)%packed != 0 {
		return nil, fmt.Errorf("%d bytes are not a list of entries", len(b))
	}
	entries := make([]Entry, 0, len(b)/packed)
	for ; len(b) > 0; b = b[packed:] {
		entries = append(entries, Entry{
			Key: Key{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])},
			Seq: binary.LittleEndian.Uint64(b[16:]), Expires: int64(binary.LittleEndian.Uint64(b[24:])), Sum: binary.LittleEndian.Uint32(b[32:]),
		})
	}
	return entries, nil
}

// Entries are those of an index, with their keys hashed.
func Entries(x *index.Index, now func() int64, hash func(tenant, key string) Key) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for token, t := range x.Tenants() {
			for it := range t.All(now) {
				if !yield(Entry{Key: hash(token, it.Key), Seq: it.Seq, Expires: it.Expires, Sum: it.Sum}) {
					return
				}
			}
			for key, seq := range t.Ended() {
				if !yield(Entry{Key: hash(token, key), Seq: seq, Expires: Dead}) {
					return
				}
			}
		}
	}
}
