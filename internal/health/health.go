package health

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Check is one condition.
type Check struct {
	Name string
	// Func returns nil if the condition holds, else one clause for the operator.
	// It must return when its context ends: Run waits for it.
	Func     func(context.Context) error
	Interval time.Duration // between starts; 0: 1 s
	Timeout  time.Duration // 0: the interval
	Rise     int           // successes in a row that bring it up; 0: 2. The first answer of all counts alone
	Fall     int           // failures in a row that bring it down; 0: 2
}

// Options for New.
type Options struct {
	Checks   []Check
	Grace    time.Duration // how long a check is down before the edge is not ready; 0: none
	Hold     time.Duration // first hold after a loss; 0: 5 s
	MaxHold  time.Duration // longest hold; 0: 20 min
	OnChange func(Status)  // after each change of Ready or Reasons; must not block; nil: none
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// Status is a copy of the whole state.
type Status struct {
	Ready   bool          `json:"ready"`
	Since   time.Time     `json:"since"`             // of Ready's last change
	Reasons []string      `json:"reasons,omitempty"` // why not ready
	Losses  int           `json:"losses"`            // of readiness, in recent memory: they set the hold
	Hold    time.Duration `json:"hold,omitempty"`    // that the last loss asked for
	Checks  []CheckStatus `json:"checks"`
}

// CheckStatus is the state of one check.
type CheckStatus struct {
	Name  string    `json:"name"`
	OK    bool      `json:"ok"`
	Since time.Time `json:"since"`           // of OK's last change
	Error string    `json:"error,omitempty"` // of the last run, though the check may still be OK
}

// Monitor runs the checks. Its methods are safe for concurrent use.
type Monitor struct {
	opts Options
	log  *slog.Logger
	met  metrics

	mu     sync.Mutex
	status Status
}

// New validates the options and names all faults. It starts nothing.
func New(opts Options) (*Monitor, error) {
	var faults []error
	seen := make(map[string]bool)
	checks := make([]Check, len(opts.Checks))
	for i, c := range opts.Checks {
		if c.Name == "" || seen[c.Name] || c.Func == nil {
			faults = append(faults, fmt.Errorf("health check %d %q: want a name of its own and a function", i, c.Name))
		}
		if c.Interval < 0 || c.Timeout < 0 || c.Rise < 0 || c.Fall < 0 {
			faults = append(faults, fmt.Errorf("health check %q: a negative interval, timeout, rise or fall", c.Name))
		}
		seen[c.Name] = true
		c.Interval = cmp.Or(c.Interval, time.Second)
		c.Timeout = cmp.Or(c.Timeout, c.Interval)
		c.Rise, c.Fall = cmp.Or(c.Rise, 2), cmp.Or(c.Fall, 2)
		checks[i] = c
	}
	opts.Checks = checks
	opts.Hold = cmp.Or(opts.Hold, 5*time.Second)
	opts.MaxHold = max(cmp.Or(opts.MaxHold, 20*time.Minute), opts.Hold)
	if opts.Grace < 0 || opts.Hold < 0 {
		faults = append(faults, errors.New("health: a negative grace or hold"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	m := &Monitor{opts: opts, log: opts.Logger, met: newMetrics()}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	for _, c := range checks {
		m.status.Checks = append(m.status.Checks, CheckStatus{Name: c.Name, Error: "not checked yet"})
		m.met.check.WithLabelValues(c.Name).Set(0)
	}
	m.status.Reasons = reasons(m.status.Checks)
	if opts.Metrics != nil {
		if err := m.met.register(opts.Metrics); err != nil {
			return nil, fmt.Errorf("health: %w", err)
		}
	}
	return m, nil
}

// Status is the current state.
func (m *Monitor) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.status
	s.Checks = append([]CheckStatus(nil), s.Checks...)
	return s
}

// Ready reports whether the edge is fit to serve, and if not, why.
func (m *Monitor) Ready() (bool, []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status.Ready, m.status.Reasons
}

// Run checks until the context ends, and returns nil then. It may be called once.
func (m *Monitor) Run(ctx context.Context) error {
	results := make(chan result)
	var wg sync.WaitGroup
	for i, c := range m.opts.Checks {
		wg.Go(func() {
			c.loop(ctx, func(err error) {
				select {
				case results <- result{i, err}:
				case <-ctx.Done():
				}
			})
		})
	}
	m.decide(ctx, results)
	wg.Wait()
	return nil
}

// result is the outcome of one run of the check with this index.
type result struct {
	check int
	err   error
}

func (c Check) loop(ctx context.Context, report func(error)) {
	tick := time.NewTicker(c.Interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		c.run(ctx, report)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// run calls Func once and reports what it said. While it is overdue, that is
// reported as one more failure every interval.
func (c Check) run(ctx context.Context, report func(error)) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.Func(ctx) }()
	select {
	case err := <-done:
		report(err)
		return
	case <-ctx.Done():
	}
	overdue := time.NewTicker(c.Interval)
	defer overdue.Stop()
	for {
		report(fmt.Errorf("no answer within %v", c.Timeout))
		select {
		case <-done: //nolint:errcheck // an answer that late was reported as a failure already
			return
		case <-overdue.C:
		}
	}
}
