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
			if _, err := l.PutRollout(ctx, r); err != nil {
				e.deps.Log.Warn("a rollout could not be written, trying again", "policy", r.Policy, "error", err)
				continue
			}
			e.deps.Log.Info("rollout", "policy", r.Policy, "generation", r.To, "from", r.From, "phase", r.Phase, "wave", r.Wave+1, "reason", r.Reason, "message", r.Message)
		}
		for _, id := range d.Delete {
			if err := l.DeleteRollout(ctx, id); err != nil {
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

// rolloutInputs are what a coordinator decides from, at one moment.
func (e *Engine) rolloutInputs() (rollout.Inputs, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	in := rollout.Inputs{
		Policies: e.state.Policies, Rollouts: e.state.Rollouts, Members: e.state.Members, Presence: e.state.Presence,
		Readings: e.readings(),
	}
	if e.settings != nil {
		in.Self = e.settings.Cluster
	}
	return in, now
}

// readings are the newest measurements of services that are rolled out: of a cluster's
// clients, and where too few of them call, of its endpoints.
func (e *Engine) readings() map[rollout.Spot]rollout.Reading {
	out := map[rollout.Spot]rollout.Reading{}
	for _, service := range e.rolledOut() {
		for cluster := range e.state.Members {
			if r, ok := served(e.records[cluster], service); ok {
				out[rollout.Spot{Cluster: cluster, Service: service}] = r
			}
		}
	}
	for cluster, p := range e.state.Presence {
		for _, c := range p.Calls {
			if c.Errors.Known {
				out[rollout.Spot{Cluster: cluster, Service: c.Service}] = rollout.Reading{Errors: c.Errors, Latency: c.Latency, Version: p.Measured}
			}
		}
	}
	return out
}

// served is what a cluster says of its own endpoints of a service, the worst port's.
func served(records map[federation.ServicePort]federation.HeldRecord, service federation.ServiceName) (rollout.Reading, bool) {
	var out rollout.Reading
	for port, r := range records {
		if port.Service != service || !r.Errors.Known {
			continue
		}
		if !out.Errors.Known || r.Errors.PerMille > out.Errors.PerMille {
			out.Errors = r.Errors
		}
		if r.Version.Newer(out.Version) {
			out.Version = r.Version
		}
	}
	return out, out.Errors.Known
}
