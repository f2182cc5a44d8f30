package stream

import (
	"context"
	"errors"
	"io"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// Error is the resource of that name. Its text is shown to the guest.
type Error struct{ Err error }

// Drop implements abi.Resource.
func (*Error) Drop() {}

func errorText(_ context.Context, c *abi.Call) error {
	e, err := abi.Lent[*Error](c, 0)
	if err != nil {
		return err
	}
	c.Result().Text(abi.Valid(e.Err.Error()))
	return nil
}

// Source is where an input-stream reads from.
type Source interface {
	Waiter // ready when Read has bytes or an error
	// Read returns up to n bytes, which are valid until the guest next runs. It returns none where none are
	// there yet, and io.EOF at the end.
	Read(n int) ([]byte, error)
	// Close is called when the stream is dropped.
	Close()
}

// Sink is where an output-stream writes to.
type Sink interface {
	Waiter // ready when Budget is not 0 or fails, and what was flushed has been written
	// Budget is how many bytes Write takes now. io.EOF says that it takes no more.
	Budget() (int, error)
	// Write takes a copy of b, which is not longer than Budget.
	Write(b []byte) error
	// Flush asks for what was written to be passed on.
	Flush() error
	// Close is called when the stream is dropped.
	Close()
}

// Input is the resource input-stream.
type Input struct {
	Source
	failed bool
}

// Output is the resource output-stream.
type Output struct {
	Sink
	failed bool
}

// Drop implements abi.Resource.
func (s *Input) Drop() { s.Close() }

// Drop implements abi.Resource.
func (s *Output) Drop() { s.Close() }

// maxRead is how much one call reads.
const maxRead = 1 << 20

// The cases of stream-error.
const (
	lastOperationFailed = 0
	closed              = 1
)

// fail writes the error of a stream. The first one is told, later ones are closed.
func fail(c *abi.Call, failed *bool, err error) error {
	e := c.Err()
	if errors.Is(err, io.EOF) || *failed {
		e.Case(closed)
		return nil
	}
	*failed = true
	return e.Case(lastOperationFailed).New(&Error{err}, 0)
}

func input(c *abi.Call) (*Input, error)   { return abi.Lent[*Input](c, 0) }
func output(c *abi.Call) (*Output, error) { return abi.Lent[*Output](c, 0) }

// read takes what there is from the stream, and waits for at least a byte if wait is set.
func read(ctx context.Context, c *abi.Call, s *Input, n uint64, wait bool) ([]byte, error) {
	if s.failed {
		return nil, io.EOF
	}
	for {
		b, err := s.Read(int(min(n, maxRead)))
		if len(b) > 0 || err != nil || !wait || n == 0 {
			return b, err
		}
		if err := waitFor(ctx, c.State, s.Source); err != nil {
			return nil, err
		}
	}
}

func inputRead(wait, skip bool) func(context.Context, *abi.Call) error {
	return func(ctx context.Context, c *abi.Call) error {
		s, err := input(c)
		if err != nil {
			return err
		}
		b, err := read(ctx, c, s, c.U64(1), wait)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fail(c, &s.failed, err)
		case skip:
			c.Ok().Put(uint64(len(b)))
		default:
			c.Ok().Bytes(b)
		}
		return nil
	}
}

func inputSubscribe(_ context.Context, c *abi.Call) error {
	s, err := input(c)
	if err != nil {
		return err
	}
	return Subscribe(c, s.Source)
}

func (s *Output) budget() (int, error) {
	if s.failed {
		return 0, io.EOF
	}
	return s.Budget()
}

func outputCheckWrite(_ context.Context, c *abi.Call) error {
	s, err := output(c)
	if err != nil {
		return err
	}
	n, err := s.budget()
	if err != nil {
		return fail(c, &s.failed, err)
	}
	c.Ok().Put(uint64(n))
	return nil
}

var (
	errBeyond = errors.New("more bytes than check-write has permitted")
	errLong   = errors.New("more than the 4096 bytes that one blocking call may write")
)

// maxBlocking is how much a function that writes and flushes takes.
const maxBlocking = 4096

// answer writes a result without a value.
func answer(c *abi.Call, s *Output, err error) error {
	if err != nil {
		return fail(c, &s.failed, err)
	}
	c.Ok()
	return nil
}

func outputWrite(_ context.Context, c *abi.Call) error {
	s, err := output(c)
	if err != nil {
		return err
	}
	b, err := c.Bytes(1)
	if err != nil {
		return err
	}
	n, err := s.budget()
	if err == nil {
		if len(b) > n {
			return errBeyond
		}
		err = s.Write(b)
	}
	return answer(c, s, err)
}

func outputWriteZeroes(_ context.Context, c *abi.Call) error {
	s, err := output(c)
	if err != nil {
		return err
	}
	n, err := s.budget()
	if err == nil {
		if c.U64(1) > uint64(n) {
			return errBeyond
		}
		err = writeZeroes(s, int(c.U64(1)))
	}
	return answer(c, s, err)
}

func writeZeroes(s *Output, n int) error {
	var zeroes [maxBlocking]byte
	for n > 0 {
		part := min(n, len(zeroes))
		if err := s.Write(zeroes[:part]); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// writeAll writes b as the sink takes it, and flushes it.
func writeAll(ctx context.Context, c *abi.Call, s *Output, b []byte) error {
	for len(b) > 0 {
		n, err := s.budget()
		if err != nil {
			return err
		}
		if n == 0 {
			if err := waitFor(ctx, c.State, s.Sink); err != nil {
				return err
			}
			continue
		}
		n = min(n, len(b))
		if err := s.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return flush(ctx, c, s)
}

func flush(ctx context.Context, c *abi.Call, s *Output) error {
	if _, err := s.budget(); err != nil {
		return err
	}
	if err := s.Flush(); err != nil {
		return err
	}
	if err := waitFor(ctx, c.State, s.Sink); err != nil {
		return err
	}
	_, err := s.budget()
	return err
}

func outputWriteAndFlush(ctx context.Context, c *abi.Call) error {
	s, err := output(c)
	if err != nil {
		return err
	}
	b, err := c.Bytes(1)
	if err != nil {
		return err
	}
	if len(b) > maxBlocking {
		return errLong
	}
	err = writeAll(ctx, c, s, b)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return answer(c, s, err)
}

func outputWriteZeroesAndFlush(ctx context.Context, c *abi.Call) error {
	s, err := output(c)
	if err != nil {
		return err
	}
	if c.U64(1) > maxBlocking {
		return errLong
	}
	var zeroes [maxBlocking]byte
	err = writeAll(ctx, c, s, zeroes[:c.U64(1)])
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return answer(c, s, err)
}

func outputFlush(wait bool) func(context.Context, *abi.Call) error {
	return func(ctx context.Context, c *abi.Call) error {
		s, err := output(c)
		if err != nil {
			return err
		}
		if wait {
			err = flush(ctx, c, s)
		} else if _, err = s.budget(); err == nil {
			err = s.Flush()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return answer(c, s, err)
	}
}

func outputSubscribe(_ context.Context, c *abi.Call) error {
	s, err := output(c)
	if err != nil {
		return err
	}
	return Subscribe(c, s.Sink)
}

// splice moves up to n bytes from one stream to another.
func splice(wait bool) func(context.Context, *abi.Call) error {
	return func(ctx context.Context, c *abi.Call) error {
		s, err := output(c)
		if err != nil {
			return err
		}
		from, err := abi.Lent[*Input](c, 1)
		if err != nil {
			return err
		}
		n, err := s.budget()
		if err == nil && n == 0 && wait {
			if err = waitFor(ctx, c.State, s.Sink); err == nil {
				n, err = s.budget()
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fail(c, &s.failed, err)
		}
		b, err := read(ctx, c, from, min(c.U64(2), uint64(n)), wait)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fail(c, &from.failed, err)
		}
		if err := s.Write(b); err != nil {
			return fail(c, &s.failed, err)
		}
		c.Ok().Put(uint64(len(b)))
		return nil
	}
}
