package linear_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/terrane/terrane/internal/engine/linear"
)

const page = 64 << 10

// TestResetEqualsImage writes at random, little and much, inside the image and in
// what was grown, and wants the image back each time.
func TestResetEqualsImage(t *testing.T) { withEach(t, testResetEqualsImage) }

// withEach tests what this kernel can do, and what every kernel can.
func withEach(t *testing.T, test func(*testing.T, *linear.Restorer)) {
	for _, restorer := range []*linear.Restorer{linear.NewRestorer(), {}} {
		t.Run(restorer.Method(), func(t *testing.T) { test(t, restorer) })
		if err := restorer.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testResetEqualsImage(t *testing.T, restorer *linear.Restorer) {
	rng := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 17*page)
	for i := 3 * page; i < 5*page; i++ {
		content[i] = byte(rng.Uint32())
	}
	m, err := linear.New(100 * page)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	m.Reallocate(uint64(len(content)))
	copy(m.Bytes()[3*page:], content[3*page:5*page])
	img, err := restorer.NewImage(m)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = img.Close() }()
	if err := m.Adopt(img); err != nil {
		t.Fatal(err)
	}
	for round := range 200 {
		grown := m.Reallocate(uint64(17+rng.IntN(84)) * page)
		if got := grown[17*page:]; bytes.Count(got, []byte{0}) != len(got) {
			t.Fatalf("round %d: what was grown is not zero", round)
		}
		for range rng.IntN(20) {
			grown[rng.IntN(len(grown))]++
		}
		if round%10 == 0 {
			for i := range grown {
				grown[i] = 0xff
			}
		}
		if _, err := m.Reset(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.Bytes(), content) {
			t.Fatalf("round %d: the memory differs from its image", round)
		}
	}
	if m.Reallocate(101*page) != nil {
		t.Error("grew beyond the limit")
	}
}

// TestImages makes images of memories that were written in few places and in many, read where nothing was
// written, or mapped by someone else, and wants each in a second memory.
func TestImages(t *testing.T) { withEach(t, testImages) }

func testImages(t *testing.T, restorer *linear.Restorer) {
	const pages = 300 // of the kernel, 4 KiB each or more
	for name, fill := range map[string]func(mem []byte){
		"nothing":   func([]byte) {},
		"the first": func(mem []byte) { mem[0] = 1 },
		"the last":  func(mem []byte) { mem[len(mem)-1] = 1 },
		"every other": func(mem []byte) {
			for at := 0; at < len(mem); at += 8 << 10 {
				mem[at] = 1
			}
		},
		"two runs":  func(mem []byte) { copy(mem[20<<10:], bytes.Repeat([]byte{1}, 50<<10)); mem[200<<10] = 1 },
		"zeros":     func(mem []byte) { clear(mem[:100<<10]); mem[50<<10] = 1 },
		"only read": func(mem []byte) { mem[4<<10] = byte(bytes.Count(mem, []byte{1}) + 1) },
		"all":       func(mem []byte) { copy(mem, bytes.Repeat([]byte{1}, len(mem))) },
	} {
		own, _ := linear.New(pages * page)
		own.Reallocate(pages * 4 << 10)
		fill(own.Bytes())
		other := make([]byte, pages*4<<10)
		fill(other)
		for _, m := range []*linear.Memory{own, linear.Over(other)} {
			img, err := restorer.NewImage(m)
			if err != nil {
				t.Fatal(err)
			}
			second, _ := linear.New(pages * page)
			second.Reallocate(uint64(len(other)))
			if err := second.Adopt(img); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(second.Bytes(), other) {
				t.Errorf("%s: the image differs from the memory it was made of", name)
			}
			for i := range second.Bytes() {
				second.Bytes()[i]++
			}
			if _, err := second.Reset(); err != nil || !bytes.Equal(second.Bytes(), other) {
				t.Errorf("%s: put back, the memory differs from its image (%v)", name, err)
			}
			second.Free()
			if err := img.Close(); err != nil {
				t.Error(err)
			}
		}
		own.Free()
	}
}

func BenchmarkReset(b *testing.B) {
	restorer := linear.NewRestorer()
	m, _ := linear.New(100 * page)
	m.Reallocate(17 * page)
	img, _ := restorer.NewImage(m)
	_ = m.Adopt(img)
	for b.Loop() {
		m.Bytes()[5*page] = 1
		m.Bytes()[7*page] = 1
		if _, err := m.Reset(); err != nil {
			b.Fatal(err)
		}
	}
}
