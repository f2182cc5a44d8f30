package preview1

import (
	"bytes"
	"io"
	"io/fs"
	"log/slog"
	"time"
)

// Host is what a program has of its host.
type Host struct {
	Name    string          // the only argument
	Environ func() []string // "NAME=value"; called once at most
	Stdin   []byte          // only read
	// Stdout takes what the program writes to it, from a buffer that is void afterwards;
	// an error is the error fbig of the program's. Nil: each line goes to Log, at level info.
	Stdout io.Writer
	// Log takes the lines written to stderr, at level warning, cut at LineMax bytes.
	Log     func(level slog.Level, text string)
	LineMax int
	Files   fs.FS // read-only, at "/"; nil: none
	// Hold reserves bytes of the host's memory, for a file that can be read in order only.
	Hold func(n int64) error
}

// Program is the state of one running program. One goroutine uses it.
type Program struct {
	Host

	start   time.Time
	environ []string // set once asked for
	stdin   bytes.Reader
	lines   [2]line // of stdout and stderr
	files   []*file // by descriptor - firstFile; nil when closed
}

// line is what a stream has written of its next line in the log.
type line struct {
	level slog.Level
	text  []byte
}

// New returns a program that is about to start. Its caller calls Close.
func New(h Host) *Program {
	p := &Program{Host: h, start: time.Now()}
	p.stdin.Reset(h.Stdin)
	p.lines[0].level, p.lines[1].level = slog.LevelInfo, slog.LevelWarn
	if h.Files != nil {
		p.files = []*file{{name: ".", dir: true}}
	}
	return p
}

// Close logs unfinished lines and closes files.
func (p *Program) Close() {
	for i := range p.lines {
		p.flush(&p.lines[i])
	}
	for _, f := range p.files {
		f.close()
	}
}

// Print writes b to the log, as if the program had written it to a stdout that goes there.
func (p *Program) Print(b []byte) { p.print(&p.lines[0], b) }

func (p *Program) print(l *line, b []byte) {
	for len(b) > 0 {
		part, rest, ended := bytes.Cut(b, []byte("\n"))
		l.text = append(l.text, part[:min(len(part), p.LineMax-len(l.text))]...)
		if b = rest; ended {
			p.flush(l)
		}
	}
}

func (p *Program) flush(l *line) {
	if len(l.text) > 0 {
		p.Log(l.level, string(l.text))
	}
	l.text = l.text[:0]
}

func (p *Program) args() []string { return []string{p.Name} }

func (p *Program) environment() []string {
	if p.environ == nil && p.Environ != nil {
		p.environ, p.Environ = p.Environ(), nil
	}
	return p.environ
}
