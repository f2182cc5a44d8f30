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
func TestResetEqualsImage(t *testing.T) {
	restorer := linear.NewRestorer()
	defer func() { _ = restorer.Close() }()
	t.Log(restorer.Method())
	rng := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 17*page)
	for i := 3 * page; i < 5*page; i++ {
		content[i] = byte(rng.Uint32())
	}
	img, err := restorer.NewImage(content)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = img.Close() }()
	m, err := linear.New(100 * page)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	m.Reallocate(uint64(len(content)))
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

func BenchmarkReset(b *testing.B) {
	restorer := linear.NewRestorer()
	img, _ := restorer.NewImage(make([]byte, 17*page))
	m, _ := linear.New(100 * page)
	m.Reallocate(17 * page)
	_ = m.Adopt(img)
	for b.Loop() {
		m.Bytes()[5*page] = 1
		m.Bytes()[7*page] = 1
		if _, err := m.Reset(); err != nil {
			b.Fatal(err)
		}
	}
}
