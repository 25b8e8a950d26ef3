package rollout

import (
	"fmt"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// change is one policy with a plan in one step.
type change struct {
	in       Inputs
	p        federation.Policy
	r        *federation.Rollout // nil: there is no record
	now      time.Duration
	tightens tighten
}

// step gives what to write (nil: nothing), what to remember (nil: nothing), and when time
// alone changes something next (0: never).
func (c change) step(prev watch) (*federation.Rollout, *watch, time.Duration) {
	r, known := spoken(c.p, c.r)
	current := known && r.To == c.p.Generation
	if at, ok := undone(c.p); ok {
		return c.undo(r, current, at), nil, 0
	}
	switch {
	case !current && c.p.Hold:
		return nil, nil, 0 // no wave begins, not even the first
	case !current:
		return c.begin(), nil, 0
	case r.Phase == federation.RolloutCompleted || r.Phase == federation.RolloutRolledBack:
		return nil, nil, 0
	}
	w := prev.follow(c, r)
	put, again := c.advance(r, &w)
	return put, &w, again
}

// undo ends the rollout: what the author went back to is where the next one begins.
func (c change) undo(r federation.Rollout, current bool, at int) *federation.Rollout {
	from := version(c.p, c.tightens.floor(c.p, at)).Generation
	if current && r.Phase == federation.RolloutRolledBack && r.From == from {
		return nil
	}
	if !current {
		r = federation.Rollout{}
	}
	r.To, r.From, r.Phase, r.Reason = c.p.Generation, from, federation.RolloutRolledBack, ReasonUndone
	r.Message = fmt.Sprintf("its author went back from generation %d to %d", r.To, c.p.Undo)
	return &r
}

// begin starts to roll out the newest version, whatever became of those before it.
func (c change) begin() *federation.Rollout {
	at := settled(c.p, c.r)
	floor := c.tightens.floor(c.p, at)
	r := federation.Rollout{To: c.p.Generation}
	switch {
	case floor > 0:
		r.From = version(c.p, floor).Generation
	case at != none:
		r.From = version(c.p, at).Generation
	}
	switch {
	case at == 0:
		r.Phase, r.Wave, r.Reason = federation.RolloutCompleted, c.last(), ReasonHeldBefore
		r.Message = fmt.Sprintf("generation %d held already when it was given a rollout plan", r.To)
	case floor == 0:
		r.Phase, r.Wave, r.Reason = federation.RolloutCompleted, c.last(), ReasonTightened
		r.Message = fmt.Sprintf("generation %d is tighter than what held before, and took effect at once", r.To)
	default:
		r.Phase, r.Reason = federation.RolloutProgressing, ReasonWaveReached
		r.Message = fmt.Sprintf("wave 1 of %d has begun", c.last()+1)
	}
	return &r
}

// last is the last wave, from 0.
func (c change) last() int { return waves(*c.p.Rollout, c.in.Members) - 1 }

// advance goes on with a rollout that has not ended: one change at a time.
func (c change) advance(r federation.Rollout, w *watch) (*federation.Rollout, time.Duration) {
	if f, failed := c.judge(w); failed {
		r.Phase, r.Reason, r.Message = federation.RolloutRolledBack, ReasonGateFailed, f.sentence(r)
		return &r, 0
	}
	switch paused := r.Phase == federation.RolloutPaused; {
	case c.p.Hold && !paused:
		r.Phase, r.Reason = federation.RolloutPaused, ReasonHeld
		r.Message = fmt.Sprintf("its author holds it in wave %d", r.Wave+1)
		return &r, 0
	case c.p.Hold:
		return nil, 0
	case paused:
		r.Phase, r.Reason = federation.RolloutProgressing, ReasonResumed
		r.Message = fmt.Sprintf("its author lets it go on in wave %d", r.Wave+1)
		return &r, 0
	}
	if left, waits := w.left(c); waits {
		return nil, left
	}
	return c.turn(r, *w), 0
}

// turn ends a wave. The message keeps what was not waited for and not known.
func (c change) turn(r federation.Rollout, w watch) *federation.Rollout {
	ended := r.Wave + 1
	if r.Wave >= c.last() {
		r.Phase, r.Reason = federation.RolloutCompleted, ReasonCompleted
		r.Message = fmt.Sprintf("generation %d holds everywhere", r.To)
	} else {
		r.Wave++
		r.Reason, r.Message = ReasonWaveReached, fmt.Sprintf("wave %d of %d has begun", r.Wave+1, c.last()+1)
	}
	r.Message += w.unproved(c, ended)
	return &r
}
