package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/policy"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/explain"
	"github.com/causeway-mesh/causeway/federation/plan"
)

// plan answers what a change of policies would do. One at a time: it may take seconds of
// a processor, and routing needs some too.
func (op *operator) plan(w http.ResponseWriter, r *http.Request) {
	if !op.planning.TryLock() {
		http.Error(w, "another plan is being made: try again in a few seconds", http.StatusTooManyRequests)
		return
	}
	defer op.planning.Unlock()
	var request explain.PlanRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, explain.MaxPlanBytes)).Decode(&request); err != nil {
		status, large := http.StatusBadRequest, (*http.MaxBytesError)(nil)
		if errors.As(err, &large) {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "reading the request: "+err.Error(), status)
		return
	}
	change, err := changeOf(op.engine.View().Self, request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p, err := op.engine.Plan(change)
	switch {
	case errors.Is(err, engine.ErrNotLeading), errors.Is(err, engine.ErrNotDecided):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	default:
		writeJSON(w, explain.PlanOf(p))
	}
}

// changeOf reads a request as one of the cluster self.
func changeOf(self federation.ClusterName, r explain.PlanRequest) (plan.Change, error) {
	var c plan.Change
	for i, raw := range r.Policies {
		p, err := candidate(self, raw)
		if err != nil {
			return c, fmt.Errorf("policy %d: %w", i+1, err)
		}
		c.Apply = append(c.Apply, p)
	}
	for _, text := range r.Delete {
		name, err := federation.ParseServiceName(text) // of the same form
		if err != nil {
			return c, fmt.Errorf("deleting %q: want namespace/name", text)
		}
		c.Delete = append(c.Delete, federation.PolicyID{Origin: self, Namespace: name.Namespace, Name: name.Name})
	}
	return c, nil
}

// candidate is a RoutingPolicy as its controller would publish it.
func candidate(self federation.ClusterName, raw []byte) (federation.Policy, error) {
	var o api.RoutingPolicy
	if err := json.Unmarshal(raw, &o); err != nil {
		return federation.Policy{}, fmt.Errorf("reading the RoutingPolicy: %w", err)
	}
	if o.Namespace == "" || o.Name == "" {
		return federation.Policy{}, errors.New("it has no namespace or no name")
	}
	return policy.Wanted(self, &o)
}
