package values

import "testing"

func TestCache(t *testing.T) {
	c := New(10_000)
	c.Put("alice", "key", 5, []byte("five"))
	c.Put("alice", "key", 4, []byte("four")) // a late answer
	if v, ok := c.Get("alice", "key", 5); !ok || string(v) != "five" {
		t.Errorf("%q, %v", v, ok)
	}
	for name, get := range map[string]func() ([]byte, bool){
		"older version":  func() ([]byte, bool) { return c.Get("alice", "key", 4) },
		"newer version":  func() ([]byte, bool) { return c.Get("alice", "key", 6) },
		"another tenant": func() ([]byte, bool) { return c.Get("bob", "key", 5) },
	} {
		if v, ok := get(); ok {
			t.Errorf("%s: %q", name, v)
		}
	}
	c.Put("alice", "large", 6, make([]byte, 2000)) // more than an eighth of the room
	if _, ok := c.Get("alice", "large", 6); ok {
		t.Error("a value that would take much of the room is kept")
	}
	for i := range 100 {
		c.Get("alice", "key", 5)
		c.Put("alice", string(rune('a'+i)), uint64(10+i), make([]byte, 500))
		if c.Size() > 10_000 {
			t.Fatalf("%d bytes", c.Size())
		}
	}
	if _, ok := c.Get("alice", "key", 5); !ok {
		t.Error("the value that was used last is gone")
	}
	if _, ok := c.Get("alice", "a", 10); ok {
		t.Error("the oldest value is still there")
	}
	c.Drop("alice", "key")
	if _, ok := c.Get("alice", "key", 5); ok {
		t.Error("a dropped value is there")
	}
	if c.Clear(); c.Size() != 0 {
		t.Errorf("%d bytes after Clear", c.Size())
	}
}
