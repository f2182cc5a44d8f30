package parts

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recorder notes in which order parts end.
type recorder struct {
	mu    sync.Mutex
	ended []string
}

func (r *recorder) part(name string, fail <-chan error) Part {
	return Part{name, func(ctx context.Context) (err error) {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case err = <-fail:
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = append(r.ended, name)
		return err
	}}
}

func TestPartsStopInReverseOrder(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var r recorder
	cancel()
	if err := Run(ctx, []Part{r.part("a", nil), r.part("b", nil), r.part("c", nil)}); err != nil {
		t.Errorf("err = %v, want none: an orderly end is no error", err)
	}
	if want := []string{"c", "b", "a"}; !slices.Equal(r.ended, want) {
		t.Errorf("ended in the order %v, want %v", r.ended, want)
	}
}

func TestPartThatFailsStopsTheRest(t *testing.T) {
	var r recorder
	fail := make(chan error, 1)
	fail <- errors.New("port in use")
	err := Run(t.Context(), []Part{r.part("a", nil), r.part("server", fail), r.part("c", nil)})
	if err == nil || !strings.Contains(err.Error(), "server: port in use") {
		t.Errorf("err = %v", err)
	}
	if len(r.ended) != 3 {
		t.Errorf("only %v ended", r.ended)
	}
}
