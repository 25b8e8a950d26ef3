package engine

import (
	"context"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/rollout"
)

// rolloutElection is won by the cluster that coordinates all rollouts of the federation.
const rolloutElection = "rollouts"

// coordinateEvery bounds how long a coordinator goes without a look: gates are measured
// all the time.
const coordinateEvery = time.Second

// coordinator is a store client's part in the election, which ends with it.
func (e *Engine) coordinator(ctx context.Context, store *policystore.Store) {
	err := store.Lead(ctx, rolloutElection, func(ctx context.Context, l policystore.Leadership) {
		e.deps.Log.Info("this cluster coordinates the federation's rollouts")
		e.coordinate(ctx, l)
	})
	if err != nil {
		e.deps.Log.Error("rollouts cannot be coordinated from here", "error", err)
	}
}

// coordinate decides and writes until ctx ends. What a write did not reach is decided
// again.
func (e *Engine) coordinate(ctx context.Context, l policystore.Leadership) {
	changed, stop := e.Subscribe()
	defer stop()
	var state rollout.State
	for {
		in, now := e.rolloutInputs()
		var d rollout.Decision
		d, state = rollout.Step(in, now, state)
		for _, r := range d.Put {
			if _, err := l.PutRollout(ctx, r, in.Rollouts[r.Policy].Revision); err != nil {
				e.deps.Log.Warn("a rollout could not be written, trying again", "policy", r.Policy, "error", err)
				continue
			}
			e.deps.Log.Info("rollout", "policy", r.Policy, "generation", r.To, "from", r.From, "phase", r.Phase, "wave", r.Wave+1, "reason", r.Reason, "message", r.Message)
		}
		for _, id := range d.Delete {
			if err := l.DeleteRollout(ctx, id, revisionOf(in.Policies, id)); err != nil {
				e.deps.Log.Warn("a rollout could not be removed, trying again", "policy", id, "error", err)
			}
		}
		wait := coordinateEvery
		if d.Again > 0 {
			wait = min(wait, d.Again)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(wait):
		}
	}
}

// revisionOf is that of a policy; 0 is that there is none.
func revisionOf(policies []federation.Policy, id federation.PolicyID) uint64 {
	for _, p := range policies {
		if p.ID == id {
			return p.Revision
		}
	}
	return 0
}

// rolloutInputs are what a coordinator decides from, at one moment.
func (e *Engine) rolloutInputs() (rollout.Inputs, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	in := rollout.Inputs{
		Policies: e.state.Policies, Rollouts: e.state.Rollouts, Members: e.state.Members, Presence: e.state.Presence,
		Readings: e.readings(now),
	}
	if e.settings != nil {
		in.Self = e.settings.Cluster
	}
	return in, now
}

// readings are what is known of services that are rolled out: of a cluster's clients, and
// where too few of them call, of its endpoints. They are numbered here, as often as
// clusters measure: a figure that stays the same is measured again all the same, and one
// cluster's word may come now from here and now from there.
func (e *Engine) readings(now time.Duration) map[rollout.Spot]rollout.Reading {
	if e.looked == 0 || now-e.lookedAt >= measureEvery {
		e.looked, e.lookedAt = e.looked+1, now
	}
	version := federation.Version{Epoch: e.epoch, Sequence: e.looked}
	out := map[rollout.Spot]rollout.Reading{}
	for _, service := range e.rolledOut() {
		for cluster := range e.state.Members {
			if errors := served(e.records[cluster], service); errors.Known {
				out[rollout.Spot{Cluster: cluster, Service: service}] = rollout.Reading{Errors: errors, Version: version}
			}
		}
	}
	for cluster, p := range e.state.Presence {
		for _, c := range p.Calls {
			if c.Errors.Known {
				out[rollout.Spot{Cluster: cluster, Service: c.Service}] = rollout.Reading{Errors: c.Errors, Latency: c.Latency, Version: version}
			}
		}
	}
	return out
}

// freshRecord is how old a cluster's word on its endpoints may be to be a measurement.
const freshRecord = 10 * time.Second

// served is the part of the streams that failed at a cluster's own endpoints of a service,
// the worst port's.
func served(records map[federation.ServicePort]federation.HeldRecord, service federation.ServiceName) federation.Measure {
	var out federation.Measure
	for port, r := range records {
		if port.Service == service && r.Age <= freshRecord {
			out = out.Worse(r.Errors)
		}
	}
	return out
}
