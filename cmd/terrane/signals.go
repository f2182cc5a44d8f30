package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// untilSignal returns a context that ends with the first SIGINT, SIGTERM or SIGHUP;
// context.Cause names the signal. After that, SIGINT and SIGTERM end the process at
// once. Further SIGHUPs are ignored: a terminal that closes may send two, and systemd
// can send one right after SIGTERM. A SIGHUP that was ignored when the process started
// (nohup) stays ignored.
func untilSignal(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	caught := make(chan os.Signal, 1)
	ended := make(chan struct{})
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(caught, syscall.SIGHUP)
	}
	go func() {
		defer close(ended)
		var cause error
		select {
		case s := <-caught:
			cause = fmt.Errorf("%v signal received", s)
		case <-ctx.Done():
		}
		signal.Ignore(syscall.SIGHUP)
		signal.Stop(caught) // before ctx ends: the next signal may follow what that prints
		cancel(cause)
	}()
	return ctx, func() {
		cancel(nil)
		<-ended
	}
}

// surviveBrokenPipe lets the process live when nobody reads its output any more, until
// the function returned is called. Go ends a process that writes to a broken standard
// output or standard error.
func surviveBrokenPipe() (restore func()) {
	broken := make(chan os.Signal, 1) // never read: sends to it do not block
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}

// logEnd runs run, and logs why it is to stop, and that it has.
func logEnd(ctx context.Context, log *slog.Logger, run func(context.Context) error) error {
	logged := make(chan struct{})
	unused := context.AfterFunc(ctx, func() {
		defer close(logged)
		log.Info("edge stops", "cause", context.Cause(ctx))
	})
	err := run(ctx)
	if !unused() {
		<-logged
	}
	log.Info("edge has stopped")
	return err
}
