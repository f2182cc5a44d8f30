package health

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// decide owns the state: it counts results, and follows grace and hold.
func (m *Monitor) decide(ctx context.Context, results <-chan result) {
	s := state{Status: m.Status(), opts: &m.opts, runs: make([]runs, len(m.opts.Checks))}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-results:
			s.count(r, time.Now())
		case <-timer.C:
		}
		next := s.judge(time.Now())
		m.publish(ctx, s.Status)
		if next > 0 {
			timer.Reset(next)
		}
	}
}

func (m *Monitor) publish(ctx context.Context, s Status) {
	s.Checks = slices.Clone(s.Checks)
	m.mu.Lock()
	old := m.status
	m.status = s
	m.mu.Unlock()

	m.met.observe(old, s)
	if s.Ready != old.Ready {
		level := slog.LevelInfo
		if !s.Ready {
			level = slog.LevelWarn
		}
		m.log.Log(ctx, level, "readiness changed", "ready", s.Ready, "reasons", s.Reasons, "hold", s.Hold)
	}
	if m.opts.OnChange != nil && (s.Ready != old.Ready || !slices.Equal(s.Reasons, old.Reasons)) {
		m.opts.OnChange(s)
	}
}

// state is a Status and what led to it.
type state struct {
	Status
	opts *Options
	runs []runs // per check
	held time.Time
}

type runs struct {
	answered bool
	against  int // results in a row that speak against OK
}

// count takes one result into its check.
func (s *state) count(r result, now time.Time) {
	check, runs, opts := &s.Checks[r.check], &s.runs[r.check], s.opts.Checks[r.check]
	check.Error = ""
	need := opts.Rise
	if r.err != nil {
		check.Error = r.err.Error()
		need = opts.Fall
	}
	ok := r.err == nil
	if !runs.answered {
		runs.answered = true
		check.OK, check.Since = ok, now
		return
	}
	if ok == check.OK {
		runs.against = 0
		return
	}
	if runs.against++; runs.against >= need {
		runs.against = 0
		check.OK, check.Since = ok, now
	}
}

// judge derives Ready and Reasons, and returns when to look again; 0: at the
// next result.
func (s *state) judge(now time.Time) time.Duration {
	down := reasons(s.Checks)
	switch {
	case s.Ready:
		longest := time.Duration(-1) // that a check has been down
		for _, c := range s.Checks {
			if !c.OK {
				longest = max(longest, now.Sub(c.Since))
			}
		}
		if longest < 0 {
			return 0
		}
		if longest < s.opts.Grace {
			return s.opts.Grace - longest
		}
		if now.Sub(s.Since) >= s.opts.MaxHold {
			s.Losses = 0
		}
		s.Losses++
		s.Hold = s.hold()
		s.held = now.Add(s.Hold)
		s.Ready, s.Since, s.Reasons = false, now, down
	case len(down) > 0:
		s.Reasons = down
	case now.Before(s.held):
		s.Reasons = []string{fmt.Sprintf("held back for %v after loss %d, until %s", s.Hold, s.Losses, s.held.Format(time.TimeOnly))}
		return s.held.Sub(now)
	default:
		s.Ready, s.Since, s.Reasons = true, now, nil
	}
	return 0
}

// hold is Hold doubled with each loss but the first, at most MaxHold.
func (s *state) hold() time.Duration {
	hold := s.opts.Hold
	for range s.Losses - 1 {
		if hold >= s.opts.MaxHold/2 {
			return s.opts.MaxHold
		}
		hold *= 2
	}
	return hold
}

func reasons(checks []CheckStatus) []string {
	var down []string
	for _, c := range checks {
		if c.OK {
			continue
		}
		reason := c.Error
		if reason == "" {
			reason = "answers again, but not yet often enough"
		}
		down = append(down, c.Name+": "+reason)
	}
	return down
}
