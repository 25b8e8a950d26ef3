package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/causeway-mesh/causeway/federation/explain"
)

// signs begin a line: what becomes of a policy.
var signs = map[string]string{"Create": "+ create", "Update": "~ update", "Delete": "- delete", "Unchanged": "= unchanged", "Refused": "! REFUSED"}

// planText is a plan for people: policies, then services by consumer, then what was
// assumed, then the sum.
func planText(w io.Writer, p explain.Plan) {
	for _, o := range p.Policies {
		planPolicyText(w, o)
	}
	for _, s := range p.Services {
		say(w, "")
		planServiceText(w, s)
	}
	for _, s := range p.Dormant {
		say(w, "\n~ %s  other rules; nobody exports it, so nothing moves now", s)
	}
	say(w, "\nPredicted from what cluster %s knows:", p.Cluster)
	for _, a := range p.Assumes {
		say(w, "  %s", a)
	}
	say(w, "\n%s", p.Summary())
}

func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }

func planPolicyText(w io.Writer, o explain.PlanPolicy) {
	sign := signs[o.Action]
	if sign == "" {
		sign = o.Action // of a newer operator
	}
	say(w, "%s policy %s%s", sign, o.Policy, note(o.Why))
	for _, c := range o.Loses {
		say(w, "    loses %s to the older policy %s (order %d), and changes nothing for it", c.Service, c.Other, c.Order)
	}
	for _, c := range o.Overrides {
		say(w, "    takes %s from the newer policy %s (order %d)", c.Service, c.Other, c.Order)
	}
	for _, s := range o.Unexported {
		say(w, "    WARNING: no cluster exports %s", s)
	}
	for i, wave := range o.Waves {
		planWaveText(w, i+1, wave)
	}
}

func planWaveText(w io.Writer, number int, wave explain.PlanWave) {
	name := fmt.Sprintf("wave %d", number)
	if wave.Rest {
		name += ", all that no wave names"
	}
	if len(wave.Clusters) == 0 {
		say(w, "    %s: WARNING: names no member that is not in an earlier one", name)
		return
	}
	say(w, "    %s: %s", name, strings.Join(wave.Clusters, ", "))
}

func planServiceText(w io.Writer, s explain.PlanService) {
	name := fmt.Sprintf("%s:%d", s.Service, s.Port)
	for _, c := range s.Consumers {
		say(w, "%s", shift(name, c))
		if before, after := tries(c.Before), tries(c.After); before != after {
			say(w, "      tries %s", before)
			say(w, "      then  %s", after)
		}
		if c.Before.Rule != c.After.Rule || c.Before.OnPartition != c.After.OnPartition || c.Before.MaxRecordAgeMS != c.After.MaxRecordAgeMS {
			say(w, "      rules %s", rules(c.Before))
			say(w, "      then  %s", rules(c.After))
		}
	}
	say(w, "  %s  from all %d clusters: %s -> %s (%s of new connections move)", name, s.Importers, shares(s.Before), shares(s.After), part(s.Moved))
	for _, region := range s.Evacuates {
		say(w, "  %s  EVACUATES %s", name, region)
	}
}

// shift says in one line what becomes of one consumer's new connections.
func shift(name string, c explain.PlanConsumer) string {
	before, after := places(c.Before.Share), places(c.After.Share)
	switch {
	case len(c.After.Tiers) == 0 && len(c.Before.Tiers) > 0:
		return fmt.Sprintf("! %s  from %s:  %s -> no target any more: new connections FAIL", name, c.Cluster, before)
	case c.Moved == 0:
		return fmt.Sprintf("~ %s  from %s:  stays with %s", name, c.Cluster, before)
	}
	return fmt.Sprintf("~ %s  from %s:  %s -> %s (%s of new connections)", name, c.Cluster, before, after, part(c.Moved))
}

// places are the regions of a share; with their parts where there are several.
func places(share map[string]float64) string {
	if len(share) == 1 {
		for region := range share {
			return region
		}
	}
	return shares(share)
}

func shares(share map[string]float64) string {
	var out []string
	for _, region := range slices.Sorted(maps.Keys(share)) {
		out = append(out, region+" "+part(share[region]))
	}
	if len(out) == 0 {
		return "no target"
	}
	return strings.Join(out, ", ")
}

func part(p float64) string {
	if percent := 100 * p; percent > 0 && percent < 1 {
		return "< 1 %"
	}
	return fmt.Sprintf("%.0f %%", math.Round(100*p))
}

// tries are the targets in order; those of one tier are joined by +.
func tries(s explain.PlanSide) string {
	var out []string
	for _, tier := range s.Tiers {
		var names []string
		for _, t := range tier {
			name := fmt.Sprintf("%s (weight %d)", t.Cluster, t.Weight)
			if t.LastResort {
				name += " as a last resort"
			}
			names = append(names, name)
		}
		out = append(out, strings.Join(names, " + "))
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, ", ")
}

func rules(s explain.PlanSide) string {
	return fmt.Sprintf("%s; on a partition %s; records %s", s.Rule, s.OnPartition, maxAge(s.MaxRecordAgeMS))
}
