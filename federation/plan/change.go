package plan

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// MaxPolicies bounds the policies of one change, applied and deleted.
const MaxPolicies = 128

// Change is what an author is about to do in the cluster of World.Inputs.Self.
type Change struct {
	// Apply are policies as their controller would publish them. Order is not read: one
	// that is published keeps its place, others come last, in this order.
	Apply []federation.Policy
	// Delete are policies to be withdrawn.
	Delete []federation.PolicyID
}

// validate says what makes a change meaningless as a whole.
func (c Change) validate(self federation.ClusterName) error {
	if n := len(c.Apply) + len(c.Delete); n > MaxPolicies {
		return fmt.Errorf("%w: %d policies, at most %d", ErrTooLarge, n, MaxPolicies)
	}
	seen := map[federation.PolicyID]bool{}
	for _, id := range c.ids() {
		switch {
		case id.Origin != self:
			return fmt.Errorf("policy %s is not one of this cluster, %s", id, self)
		case seen[id]:
			return fmt.Errorf("policy %s is named twice", id)
		}
		seen[id] = true
	}
	return nil
}

func (c Change) ids() []federation.PolicyID {
	var out []federation.PolicyID
	for _, p := range c.Apply {
		out = append(out, p.ID)
	}
	return append(out, c.Delete...)
}

// Action is what becomes of a policy.
type Action string

// The actions.
const (
	Create    Action = "Create"
	Update    Action = "Update"
	Delete    Action = "Delete"
	Unchanged Action = "Unchanged" // as published, or not there to be deleted
	Refused   Action = "Refused"   // would not be accepted; what is published stays
)

// Outcome is what becomes of one policy of a change.
type Outcome struct {
	Policy federation.PolicyID
	Action Action
	// Why says why it is Refused; empty otherwise.
	Why string
	// Loses are its targets that an older policy with other rules keeps, Overrides those
	// that it takes from a newer one.
	Loses, Overrides []Contest
	// Unexported are its targets that no cluster exports.
	Unexported []federation.ServiceName
	// Waves is how it would be rolled out; nil is everywhere at once.
	Waves []Wave
}

// Contest is one target that two policies speak of.
type Contest struct {
	Target federation.ServiceName
	// Other is the policy on the other side, with its place in the order.
	Other federation.PolicyID
	Order uint64
}

// draft is a change with its outcomes, ready to be laid over any cluster's policies.
type draft struct {
	outcomes []Outcome
	put      []federation.Policy // with their places
	gone     map[federation.PolicyID]bool
	// services are those whose rules may differ.
	services map[federation.ServiceName]bool
}

// settle decides what becomes of each policy of a change.
func (a atlas) settle(c Change) draft {
	d := draft{gone: map[federation.PolicyID]bool{}, services: map[federation.ServiceName]bool{}}
	var last uint64
	for _, p := range a.Published {
		last = max(last, p.Order)
	}
	for _, p := range c.Apply {
		old := find(a.Published, p.ID)
		o := Outcome{Policy: p.ID, Why: a.fault(p), Unexported: a.unexported(p), Waves: a.waves(p.Rollout)}
		switch {
		case o.Why != "":
			o.Action, o.Unexported, o.Waves = Refused, nil, nil
		case old == nil:
			last++
			p.Order, o.Action = last, Create
			d.lay(p, nil)
		case p.Same(old.PolicyVersion):
			o.Action = Unchanged
			if !reflect.DeepEqual(p.Rollout, old.Rollout) {
				o.Action = Update // of the waves alone: no version of its own
			}
		default:
			p.Order, o.Action = old.Order, Update
			d.lay(p, old)
		}
		d.outcomes = append(d.outcomes, o)
	}
	for _, id := range c.Delete {
		o := Outcome{Policy: id, Action: Unchanged}
		if old := find(a.Published, id); old != nil {
			o.Action = Delete
			d.remove(*old)
		}
		d.outcomes = append(d.outcomes, o)
	}
	d.contest(a.Published)
	return d
}

func (d *draft) lay(p federation.Policy, old *federation.Policy) {
	if old != nil {
		d.remove(*old)
	}
	d.put = append(d.put, p)
	d.touch(p.Targets)
}

func (d *draft) remove(p federation.Policy) {
	d.gone[p.ID] = true
	d.touch(p.Targets)
	for _, v := range p.History { // while it is rolled out an earlier version may hold
		d.touch(v.Targets)
	}
}

func (d *draft) touch(targets []federation.ServiceName) {
	for _, t := range targets {
		d.services[t] = true
	}
}

// over lays the change over policies, which stay as they are.
func (d *draft) over(policies []federation.Policy) []federation.Policy {
	out := slices.DeleteFunc(slices.Clone(policies), func(p federation.Policy) bool { return d.gone[p.ID] })
	out = append(out, d.put...)
	slices.SortStableFunc(out, func(a, b federation.Policy) int { return cmp.Compare(a.Order, b.Order) })
	return out
}

// contest names for each applied policy what it loses and what it takes.
func (d *draft) contest(before []federation.Policy) {
	after := d.over(before)
	for i := range d.outcomes {
		o := &d.outcomes[i]
		p := find(after, o.Policy)
		if p == nil || o.Action == Refused {
			continue
		}
		for _, t := range p.Targets {
			winner, had := routing.Ruling(after, t), routing.Ruling(before, t)
			if winner.ID != p.ID {
				if !winner.SameRules(p.Rules) {
					o.Loses = append(o.Loses, Contest{t, winner.ID, winner.Order})
				}
				continue
			}
			if had != nil && had.ID != p.ID && find(after, had.ID) != nil && !had.SameRules(p.Rules) {
				o.Overrides = append(o.Overrides, Contest{t, had.ID, had.Order})
			}
		}
	}
}

func find(policies []federation.Policy, id federation.PolicyID) *federation.Policy {
	for i := range policies {
		if policies[i].ID == id {
			return &policies[i]
		}
	}
	return nil
}

// fault says why a policy would not be accepted; empty is nothing.
func (a atlas) fault(p federation.Policy) string {
	switch {
	case len(p.Targets) == 0:
		return "it has no targets"
	case len(p.Regions) == 0:
		return "it names no region"
	}
	for _, t := range p.Targets {
		if t.Namespace != p.ID.Namespace {
			return fmt.Sprintf("target %s lies outside its namespace", t)
		}
	}
	known := a.regions()
	var faults []string
	for _, r := range p.Regions {
		if !slices.Contains(known, r) {
			faults = append(faults, fmt.Sprintf("region %q belongs to no member", r))
		}
	}
	if len(faults) == 0 {
		return ""
	}
	return fmt.Sprintf("%s; known: %s", strings.Join(faults, ", "), join(known))
}

// regions are those of the members, sorted.
func (a atlas) regions() []federation.Region {
	var out []federation.Region
	for _, m := range a.Inputs.Members {
		if m.Region != "" {
			out = append(out, m.Region)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func join(regions []federation.Region) string {
	var out []string
	for _, r := range regions {
		out = append(out, string(r))
	}
	return strings.Join(out, ", ")
}

func (a atlas) unexported(p federation.Policy) []federation.ServiceName {
	var out []federation.ServiceName
	for _, t := range p.Targets {
		if !a.carried[t] {
			out = append(out, t)
		}
	}
	return out
}
