package hostcalls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/terrane/terrane/hostcalls/cgi"
	"github.com/terrane/terrane/hostcalls/field"
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
	if x.stdoutCut || int64(len(x.stdout)+len(b)) > x.t.maxBody()+field.MaxBytes {
		if !x.stdoutCut {
			x.fail(moreThanLimit, x.t.maxBody())
		}
		x.stdoutCut = true
		return 0, errStdoutFull
	}
	x.stdout = append(x.stdout, b...)
	return len(b), nil
}

// Enter tells x which export the engine is about to call, before anything of the
// guest runs. With "_start" the guest is a CGI program (RFC 3875), whose stdout is
// the response; otherwise what it writes there goes to the tenant's log.
func (x *Exchange) Enter(entry string) { x.cgi = entry == EntryCGI }

// EntryCGI is the entry of a CGI program.
const EntryCGI = "_start"

// environ is the environment of a WASI program.
func (x *Exchange) environ() []string {
	r := x.req
	return cgi.Environ(x.t.Env, &cgi.Request{
		ID: r.ID, Method: r.Method, Path: r.Path, Host: r.Host, Scheme: r.Scheme, Info: r.Info,
		Header: r.Header, Length: len(r.Body), Client: x.clientIP(), Edge: x.t.Edge, Region: x.t.Region,
	})
}

const moreThanLimit = "a response of more than the limit of %d bytes"

// answerCGI makes the response of what a CGI program wrote.
func (x *Exchange) answerCGI() {
	if x.answered || len(x.refused) > 0 { // by hostcalls
		x.program().Print(x.stdout)
		return
	}
	if err := x.parseCGI(); err != nil {
		clear(x.resp.Header)
		x.resp.Body = x.resp.Body[:0]
		x.resp.Code = http.StatusInternalServerError
		x.refuse(&x.refused, partStdout, "stdout is not a CGI response: %v", err)
	}
}

func (x *Exchange) parseCGI() error {
	code, body, err := cgi.Parse(x.stdout, x.resp.Header, field.MaxBytes-x.spent)
	switch limit := x.t.maxBody(); {
	case x.stdoutCut:
		return fmt.Errorf(moreThanLimit, limit)
	case err != nil:
		return err
	case int64(len(body)) > limit:
		return fmt.Errorf("a body of %d bytes exceeds the limit of %d", len(body), limit)
	}
	x.resp.Code, x.resp.Body = code, append(x.resp.Body[:0], body...)
	return nil
}
