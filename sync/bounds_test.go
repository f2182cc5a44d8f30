package sync_test

import (
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
)

// grown runs f and reports by how much the process's memory grew at most, in bytes.
func grown(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Sys - before.Sys
}

// packZeros puts a blob of size zeros into the origin and returns its name. The pack is
// made by hand, because git would read the blob three times.
func (p *gitPlace) packZeros(t *testing.T, size int64) (name string) {
	t.Helper()
	const block = 16 << 20
	deflate := func(n int64, end func(*flate.Writer) error) []byte {
		var out bytes.Buffer
		w, err := flate.NewWriter(&out, flate.BestCompression)
		check(t, err)
		_, err = w.Write(make([]byte, n))
		check(t, errors.Join(err, end(w)))
		return out.Bytes()
	}
	blob := []byte{0x30 | byte(size&15)} // type 3, and the size, the low bits first
	for rest := size >> 4; rest > 0; rest >>= 7 {
		blob[len(blob)-1] |= 0x80
		blob = append(blob, byte(rest&0x7f))
	}
	blob = append(blob, 0x78, 0xda) // zlib
	blob = append(blob, bytes.Repeat(deflate(block, (*flate.Writer).Flush), int(size/block))...)
	blob = append(blob, deflate(size%block, (*flate.Writer).Close)...)
	blob = binary.BigEndian.AppendUint32(blob, uint32(size%65521)<<16|1) // Adler-32

	object := sha1.New()
	_, _ = fmt.Fprintf(object, "blob %d\x00", size)
	for zeros, left := make([]byte, block), size; left > 0; left -= block {
		object.Write(zeros[:min(left, block)])
	}
	sum := object.Sum(nil)
	pack := append([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x01"), blob...)
	packSum := sha1.Sum(pack)
	index := []byte("\xfftOc\x00\x00\x00\x02")
	for first := range 256 {
		var n uint32
		if first >= int(sum[0]) {
			n = 1
		}
		index = binary.BigEndian.AppendUint32(index, n)
	}
	index = append(index, sum...)
	index = binary.BigEndian.AppendUint32(index, crc32.ChecksumIEEE(blob))
	index = binary.BigEndian.AppendUint32(index, 12) // the blob's offset
	index = append(index, packSum[:]...)
	indexSum := sha1.Sum(index)
	at := fmt.Sprintf("%s/objects/pack/pack-%x", p.bare, packSum)
	check(t, os.WriteFile(at+".pack", append(pack, packSum[:]...), 0o600))
	check(t, os.WriteFile(at+".idx", append(index, indexSum[:]...), 0o600))
	return hex.EncodeToString(sum)
}

// TestGitBomb: a blob that is small on the line and huge in memory is refused for
// its size, and never held in memory.
func TestGitBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 2 GB")
	}
	p := newGitPlace(t).serveHTTP(t)
	bomb := p.packZeros(t, 2<<30+1)
	cmd := exec.Command("git", "fast-import", "--quiet")
	cmd.Dir = p.bare
	cmd.Stdin = strings.NewReader("commit refs/heads/main\ncommitter t <t@example.net> 1700000000 +0000\ndata 1\nx\n" +
		"M 100644 " + bomb + " alice/bomb\nM 100644 inline bob/i.html\ndata 1\nb\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git fast-import: %v\n%s", err, out)
	}
	o := tenantsync.Options{Data: t.TempDir(), Stores: []tenantsync.Store{p.Store()}}
	o.Limits.SiteSize = 1 << 20
	if n := grown(func() {
		e := storetest.Start(t, o)
		if r := e.AwaitRefusal(t, alice); r.Retry || !strings.Contains(r.Reason, `more than 1048576 bytes, "bomb" alone has 2147483649`) {
			t.Errorf("refusal %+v", r)
		}
		e.AwaitContent(t, "/t/bob", "i.html", "b")
	}); n > 100<<20 {
		t.Errorf("memory grew by %d MB", n>>20)
	}
}

// TestGitMillionFiles: a folder of a million files, and a root of a million tenants, are
// refused before they are read.
func TestGitMillionFiles(t *testing.T) {
	p, e, _ := gitEdge(t)
	blob := git(t, p.work, "rev-parse", "HEAD:alice/i.html")
	var raw strings.Builder
	tree := func(mode, hash string) string {
		raw.Reset()
		for i := range 1_000_000 {
			fmt.Fprintf(&raw, "%s f%06d\x00%s", mode, i, unhex(t, hash))
		}
		return hashObject(t, p, "tree", raw.String())
	}
	files := tree("100644", blob)
	raw.Reset()
	for _, e := range [][2]string{{"alice", files}, {"bob", git(t, p.work, "rev-parse", "HEAD:bob")}} {
		fmt.Fprintf(&raw, "40000 %s\x00%s", e[0], unhex(t, e[1]))
	}
	push := func(root string) {
		t.Helper()
		git(t, p.work, "push", "-q", "-f", "origin", git(t, p.work, "commit-tree", "-m", "x", "-p", "HEAD", root)+":main")
	}
	crowd := hashObject(t, p, "tree", raw.String())
	if n := grown(func() {
		push(crowd)
		if r := e.AwaitRefusal(t, alice); r.Retry || !strings.Contains(r.Reason, "at most") {
			t.Errorf("refusal %+v", r)
		}
		push(tree("40000", git(t, p.work, "rev-parse", "HEAD:bob")))
		e.Await(t, "the refusal of the root", func() bool { return strings.Contains(e.Status().Stores[0].Refused, "at most") })
	}); n > 150<<20 { // most of it is the test's own
		t.Errorf("memory grew by %d MB", n>>20)
	}
	if len(e.Live()) != 2 {
		t.Errorf("live: %v", e.Live())
	}
	p.Deploy(t, storetest.Tree{"alice/i.html": "2", "bob/i.html": "b"})
	e.AwaitContent(t, alice, "i.html", "2")
}
