package hostcalls

import (
	"context"
	"errors"
	"io"

	"github.com/terrane/terrane/hostcalls/preview1"
)

// wasiFunctions is WASI preview 1, for CGI programs and for guests of the other dialects.
func wasiFunctions() []Func {
	var list []Func
	for _, f := range preview1.Functions() {
		list = append(list, define(preview1.Module, f.Name, f.Type, func(ctx context.Context, x *Exchange, g Guest, a args) error {
			return f.Call(ctx, x.program(), g, a)
		}))
	}
	return list
}

// program is x as a WASI program sees it, made when a WASI function is first called.
func (x *Exchange) program() *preview1.Program {
	if x.wasi == nil {
		var out io.Writer
		if x.cgi {
			out = (*stdout)(x)
		}
		x.wasi = preview1.New(preview1.Host{
			Name: x.req.Module, Environ: x.environ, Stdin: x.req.Body, Stdout: out,
			Log: x.log, LineMax: LogLineMax, Files: x.t.Files, Hold: x.hold,
		})
	}
	return x.wasi
}

// stdout is an Exchange as the stdout of a CGI program: it collects the response.
type stdout Exchange

var errStdoutFull = errors.New("the response is over its limit")

// Write implements io.Writer. It fails for good once there is more than a response may have.
func (s *stdout) Write(b []byte) (int, error) {
	x := (*Exchange)(s)
	if x.stdoutCut || int64(len(x.stdout)+len(b)) > x.t.maxBody()+maxHeaders {
		if !x.stdoutCut {
			x.fail(moreThanLimit, x.t.maxBody())
		}
		x.stdoutCut = true
		return 0, errStdoutFull
	}
	x.stdout = append(x.stdout, b...)
	return len(b), nil
}
