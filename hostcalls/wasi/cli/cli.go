// Package cli is wasi:cli. What a component writes to stdout and stderr goes to the tenant's log,
// a line for each newline; of a program that answers by stdout (wasi:cli/run), stdout is the response.
// stdin is the request's body for such a program, and empty for others. There are no terminals.
package cli

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi/abi"
	"github.com/terrane/terrane/hostcalls/wasi/stream"
)

// Interfaces are those of wasi:cli.
func Interfaces() []abi.Interface {
	none := func(_ context.Context, c *abi.Call) error {
		c.Result().None()
		return nil
	}
	return []abi.Interface{{
		Name: abi.Module,
		Funcs: []abi.Func{
			{Name: "program", Type: "func()", Do: program},
			{Name: "ran", Type: "func(status: u32)", Do: ran},
		},
	}, {
		Name: "wasi:cli/environment", Version: "0.2",
		Funcs: []abi.Func{
			{Name: "get-environment", Type: "func() -> list<tuple<string, string>>", Do: environment},
			{Name: "get-arguments", Type: "func() -> list<string>", Do: arguments},
			{Name: "initial-cwd", Type: "func() -> option<string>", Do: none},
		},
	}, {
		Name: "wasi:cli/exit", Version: "0.2",
		Funcs: []abi.Func{
			{Name: "exit", Type: "func(status: result)", Do: exit},
			{Name: "exit-with-code", Type: "func(status-code: u8)", Do: exitWithCode},
		},
	}, {
		Name: "wasi:cli/stdin", Version: "0.2", Uses: "input-stream",
		Funcs: []abi.Func{{Name: "get-stdin", Type: "func() -> input-stream", Do: stdin}},
	}, {
		Name: "wasi:cli/stdout", Version: "0.2", Uses: "output-stream",
		Funcs: []abi.Func{{Name: "get-stdout", Type: "func() -> output-stream", Do: output(0)}},
	}, {
		Name: "wasi:cli/stderr", Version: "0.2", Uses: "output-stream",
		Funcs: []abi.Func{{Name: "get-stderr", Type: "func() -> output-stream", Do: output(1)}},
	}, {
		Name: "wasi:cli/terminal-input", Version: "0.2",
		Resources: []abi.ResourceType{abi.NewResource[*terminalInput]("terminal-input")},
	}, {
		Name: "wasi:cli/terminal-output", Version: "0.2",
		Resources: []abi.ResourceType{abi.NewResource[*terminalOutput]("terminal-output")},
	}, {
		Name: "wasi:cli/terminal-stdin", Version: "0.2", Uses: "terminal-input",
		Funcs: []abi.Func{{Name: "get-terminal-stdin", Type: "func() -> option<terminal-input>", Do: none}},
	}, {
		Name: "wasi:cli/terminal-stdout", Version: "0.2", Uses: "terminal-output",
		Funcs: []abi.Func{{Name: "get-terminal-stdout", Type: "func() -> option<terminal-output>", Do: none}},
	}, {
		Name: "wasi:cli/terminal-stderr", Version: "0.2", Uses: "terminal-output",
		Funcs: []abi.Func{{Name: "get-terminal-stderr", Type: "func() -> option<terminal-output>", Do: none}},
	}}
}

// terminalInput and terminalOutput exist so that their handles can be dropped: there are none.
type (
	terminalInput  struct{}
	terminalOutput struct{}
)

// Drop implements abi.Resource.
func (*terminalInput) Drop() {}

// Drop implements abi.Resource.
func (*terminalOutput) Drop() {}

// part is what this package keeps for a request.
type part struct {
	s     *abi.State
	lines [2]line
}

func partOf(s *abi.State) *part { return abi.PartOf(s, abi.PartCLI, newPart) }

func newPart(s *abi.State) *part {
	p := &part{s: s}
	for i, level := range [...]slog.Level{slog.LevelInfo, slog.LevelWarn} {
		p.lines[i] = line{p: p, level: level}
	}
	return p
}

// Idle implements abi.Part.
func (*part) Idle() {}

// Answer implements abi.Part.
func (*part) Answer() {}

// Close implements abi.Part: lines that have not ended end.
func (p *part) Close() {
	for i := range p.lines {
		p.lines[i].flush()
	}
}

// line is a stream to the log.
type line struct {
	stream.Always
	p     *part
	level slog.Level
	text  []byte // of the line that has not ended
}

const budget = 64 << 10

// Budget implements stream.Sink.
func (*line) Budget() (int, error) { return budget, nil }

// Flush implements stream.Sink. A line is logged when it ends: guests write in fragments.
func (*line) Flush() error { return nil }

// Close implements stream.Sink.
func (*line) Close() {}

// Write implements stream.Sink.
func (l *line) Write(b []byte) error {
	for len(b) > 0 {
		text, rest, ended := bytes.Cut(b, []byte("\n"))
		l.text = append(l.text, text[:min(len(text), hostcalls.LogLineMax-len(l.text))]...)
		if b = rest; ended {
			l.flush()
		}
	}
	return nil
}

func (l *line) flush() {
	if len(l.text) > 0 {
		l.p.s.X.Log(l.level, string(l.text))
	}
	l.text = l.text[:0]
}

func output(n int) func(context.Context, *abi.Call) error {
	return func(_ context.Context, c *abi.Call) error {
		if n == 0 && c.X.CGI() {
			return c.ReturnNew(&stream.Output{Sink: stdout{Writer: c.X.Stdout()}}, 0)
		}
		return c.ReturnNew(&stream.Output{Sink: &partOf(c.State).lines[n]}, 0)
	}
}

// stdout is the stream of a program's response.
type stdout struct {
	stream.Always
	io.Writer
}

// Budget implements stream.Sink.
func (stdout) Budget() (int, error) { return budget, nil }

// Flush implements stream.Sink: the response is sent when the program has ended.
func (stdout) Flush() error { return nil }

// Close implements stream.Sink.
func (stdout) Close() {}

// Write implements stream.Sink.
func (s stdout) Write(b []byte) error {
	_, err := s.Writer.Write(b)
	return err
}

func stdin(_ context.Context, c *abi.Call) error {
	body := &stream.Bytes{}
	if c.X.CGI() {
		body.Reset(c.X.Request().Body)
	}
	return c.ReturnNew(&stream.Input{Source: body}, 0)
}

// environment is the manifest's, and for a program that of CGI.
func environment(_ context.Context, c *abi.Call) error {
	var all []string
	if c.X.CGI() {
		all = c.X.Environ()
	} else {
		for name, value := range c.X.Env() {
			all = append(all, name+"="+value)
		}
		slices.Sort(all)
	}
	list := c.Result().List(len(all))
	for i, text := range all {
		name, value, _ := strings.Cut(text, "=")
		list.At(i).Field(0).Text(abi.Valid(name))
		list.At(i).Field(1).Text(abi.Valid(value))
	}
	return nil
}

func arguments(_ context.Context, c *abi.Call) error {
	c.Result().List(1).At(0).Text(abi.Valid(c.X.Request().Module))
	return nil
}

func exit(_ context.Context, c *abi.Call) error {
	failed, err := c.Case(0, 2)
	if err != nil {
		return err
	}
	return &hostcalls.Exit{Code: uint32(failed)}
}

func exitWithCode(_ context.Context, c *abi.Call) error {
	return &hostcalls.Exit{Code: uint32(uint8(c.U32(0)))}
}

// program says that the guest is a program, whose stdout is the response.
func program(_ context.Context, c *abi.Call) error {
	c.X.Enter(hostcalls.EntryCGI)
	return nil
}

// ran takes what a program's run has returned.
func ran(_ context.Context, c *abi.Call) error {
	if c.U32(0) == 0 {
		return nil
	}
	return &hostcalls.Exit{Code: 1}
}
