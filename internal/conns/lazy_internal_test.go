package conns

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is a connection and its other end.
func pipe(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	l, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	return l.admit(a), b
}

func TestLazyDeadlines(t *testing.T) {
	for name, tt := range map[string]struct {
		before time.Duration // set before the read; 0: none
		during time.Duration // set 1 s after it has begun; 0: no change, -1: none
		want   time.Duration // when the read ends; 0: not within an hour
	}{
		"none":      {0, 0, 0},
		"before":    {5 * time.Second, 0, 5 * time.Second},
		"past":      {-time.Second, 0, 0 * time.Second},
		"during":    {0, 5 * time.Second, 5 * time.Second},
		"shortened": {10 * time.Second, 3 * time.Second, 3 * time.Second},
		"extended":  {5 * time.Second, 10 * time.Second, 10 * time.Second},
		"cleared":   {5 * time.Second, -1, 0},
		"aborted":   {0, time.Millisecond, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, other := pipe(t)
				start := time.Now()
				if tt.before != 0 {
					_ = c.SetReadDeadline(start.Add(tt.before))
				}
				ended := make(chan time.Duration, 1)
				go func() {
					_, err := c.Read(make([]byte, 1))
					if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) {
						t.Errorf("read: %v", err)
					}
					ended <- time.Since(start)
				}()
				if tt.during != 0 {
					time.Sleep(time.Second)
					at := start.Add(tt.during)
					if tt.during < 0 {
						at = time.Time{}
					}
					_ = c.SetReadDeadline(at)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				_ = other.Close()
				got := <-ended
				if want := tt.want; got != want && (want != 0 || tt.before < 0 || got < time.Hour) {
					t.Errorf("the read ended after %v, want %v", got, want)
				}
				_ = c.Close()
			})
		})
	}
}

func TestLazyDeadlineIsUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := pipe(t)
		for range 3 { // what net/http does to end its background read
			got := make(chan error)
			go func() {
				_, err := c.Read(make([]byte, 1))
				got <- err
			}()
			synctest.Wait()
			_ = c.SetReadDeadline(time.Unix(1, 0))
			if err := <-got; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("aborted read: %v", err)
			}
			_ = c.SetReadDeadline(time.Time{})
			_ = c.SetReadDeadline(time.Now().Add(time.Minute))
			go func() { _, _ = other.Write([]byte("x")) }()
			if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Errorf("read: %d, %v", n, err)
			}
		}
		_, _ = c.Close(), other.Close()
	})
}

func TestLazyWriteGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := pipe(t)
		_ = c.SetDeadline(time.Now().Add(time.Second))
		go func() { _, _ = other.Read(make([]byte, 2)) }()
		type result struct {
			n   int
			err error
		}
		done := make(chan result)
		write := func() {
			n, err := c.Write([]byte("hello"))
			done <- result{n, err}
		}
		go write() // two bytes are taken at once, the others after the first deadline
		synctest.Wait()
		_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
		time.Sleep(30 * time.Second)
		go func() { _, _ = other.Read(make([]byte, 3)) }()
		if r := <-done; r != (result{5, nil}) {
			t.Errorf("write: %+v", r)
		}
		go write()
		time.Sleep(time.Hour)
		if r := <-done; r.n != 0 || !errors.Is(r.err, os.ErrDeadlineExceeded) {
			t.Errorf("late write: %+v", r)
		}
		_, _ = c.Close(), other.Close()
	})
}
