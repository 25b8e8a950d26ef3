package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/rollout"
)

// waiter waits for a rollout's end.
type waiter struct {
	get   func(context.Context) (policy, error)
	every time.Duration
	say   func(format string, args ...any)
}

// wait returns the policy as it was read last; an error unless its newest version holds
// everywhere. What changes is said once.
func (w waiter) wait(ctx context.Context) (policy, error) {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	var last policy
	var said string
	for {
		p, err := w.get(ctx)
		if ctx.Err() != nil {
			return last, waitedEnough(ctx, last)
		}
		if err != nil {
			return last, err
		}
		last = p
		line, ended, err := p.standing()
		if line != said {
			w.say("%s", line)
			said = line
		}
		if ended {
			return p, err
		}
		select {
		case <-ctx.Done():
			return last, waitedEnough(ctx, last)
		case <-tick.C:
		}
	}
}

func waitedEnough(ctx context.Context, p policy) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	return fmt.Errorf("the rollout has not ended within --timeout: %s", p.line())
}

// standing is what to say of a rollout, whether it has ended, and how it went wrong.
func (p policy) standing() (string, bool, error) {
	if p.known() != nil {
		return fmt.Sprintf("waiting for the operator to take up generation %d", p.Generation), false, nil
	}
	if c := meta.FindStatusCondition(p.Status.Conditions, api.ConditionAccepted); c != nil && c.Status == "False" {
		return p.line(), true, fmt.Errorf("generation %d was not accepted: %s: %s", p.Generation, c.Reason, c.Message)
	}
	s := p.Status.Rollout
	rolledBack := s.Phase == string(federation.RolloutRolledBack)
	switch {
	case p.back() != "" && (!rolledBack || s.Reason != rollout.ReasonUndone):
		return fmt.Sprintf("waiting for the operator to go back to generation %s", p.back()), false, nil
	case rolledBack:
		return p.line(), true, fmt.Errorf("generation %d was taken back: %s: %s", s.Generation, s.Reason, s.Message)
	case s.Phase == string(federation.RolloutCompleted):
		return p.line(), true, nil
	}
	return p.line(), false, nil
}

// line is a rollout in one line.
func (p policy) line() string {
	s := p.Status.Rollout
	if s.Phase == "" {
		return "no status of a rollout yet"
	}
	return fmt.Sprintf("generation %d: %s (%s), wave %d of %d, %d of %d clusters updated%s",
		s.Generation, s.Phase, s.Reason, s.Wave, s.Waves, s.Updated, s.Total, note(s.Message))
}
