package policystore

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
)

// naive builds a State anew from all values.
func naive(r *replica, revision uint64) State {
	s := State{
		Members:  make(map[federation.ClusterName]federation.Member),
		Exports:  make(map[federation.ServiceName][]federation.Export),
		Policies: slices.Collect(maps.Values(r.policies.values)),
		Rollouts: make(map[federation.PolicyID]federation.Rollout),
		Presence: make(map[federation.ClusterName]federation.Presence),
		Revision: revision,
	}
	for _, p := range r.presence.values {
		s.Presence[p.Cluster] = p
	}
	for _, m := range r.members.values {
		s.Members[m.Name] = m
	}
	for _, o := range r.rollouts.values {
		s.Rollouts[o.Policy] = o
	}
	for _, e := range r.exports.values {
		s.Exports[e.Service] = append(s.Exports[e.Service], e)
	}
	for _, list := range s.Exports {
		slices.SortFunc(list, func(a, b federation.Export) int {
			return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Cluster, b.Cluster))
		})
	}
	slices.SortFunc(s.Policies, func(a, b federation.Policy) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	return s
}

// change is one thing that a store may tell: few keys and few orders, so that values are
// replaced, moved, deleted and put back, and orders are equal.
func change(t *rapid.T, r *replica, revision uint64) {
	cluster := rapid.SampledFrom([]federation.ClusterName{"a", "a-b", "b"}).Draw(t, "cluster")
	name := rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "name")
	order := rapid.Uint64Range(1, 4).Draw(t, "order")
	service, id := federation.ServiceName{Namespace: "shop", Name: name}, federation.PolicyID{Origin: cluster, Namespace: "shop", Name: name}
	key, value := "", any(nil)
	switch rapid.SampledFrom([]string{"members", "exports", "policies", "rollouts", "presence"}).Draw(t, "kind") {
	case "members":
		key, value = r.keys.member(cluster), memberToValue(federation.Member{InstanceID: name, Region: "r", APIServerLost: order == 1})
	case "exports":
		key, value = r.keys.export(cluster, service), exportToValue(federation.Export{Order: order, Ports: []federation.ExportedPort{{Port: 80}}})
	case "policies":
		p := federation.Policy{Order: order}
		p.Generation, p.Targets, p.Regions = int64(revision), []federation.ServiceName{service}, []federation.Region{"r"} //nolint:gosec // small
		key, value = r.keys.policy(id), policyToValue(p)
	case "rollouts":
		key, value = r.keys.rollout(id), rolloutToValue(federation.Rollout{To: int64(revision), Phase: federation.RolloutPaused}) //nolint:gosec // small
	case "presence":
		key, value = r.keys.presence(cluster), presenceValue{header: header{schemaVersion}, Applied: revision}
	}
	if rapid.IntRange(0, 3).Draw(t, "deleted") == 0 {
		r.remove(key)
		return
	}
	content, err := encodeValue(value, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.put(r.open(item{key, content, revision})); err != nil {
		t.Fatalf("%s: %v", key, err)
	}
}

// relist drops what a full read does not list.
func relist(t *rapid.T, r *replica) {
	listed := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(r.held)) {
		listed[key] = rapid.Bool().Draw(t, key)
	}
	r.retain(listed)
}

// Whatever happens between two States, the next is what building it anew would give, and
// one that was handed out stays as it was.
func TestStatesEqualNaiveOnesAndNeverChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKeys("prod")
		r := newReplica(k, newNotary(Config{Unsealed: true}, Deps{}))
		var given, copies []State
		revision := uint64(0)
		for range rapid.IntRange(1, 8).Draw(t, "states") {
			for range rapid.IntRange(0, 12).Draw(t, "changes") {
				revision++
				change(t, r, revision)
			}
			if rapid.IntRange(0, 4).Draw(t, "full read") == 0 {
				relist(t, r)
			}
			given, copies = append(given, r.state(revision)), append(copies, naive(r, revision))
			for i := range given {
				if d := gocmp.Diff(copies[i], given[i]); d != "" {
					t.Fatalf("state %d of %d (-built anew +given):\n%s", i+1, len(given), d)
				}
			}
		}
	})
}

// What has not changed is not built again, and nothing is forgotten for that.
func TestAStateSharesWhatHasNotChanged(t *testing.T) {
	r := newReplica(newKeys("prod"), newNotary(Config{Unsealed: true}, Deps{}))
	put := func(key string, v any) {
		t.Helper()
		content, err := encodeValue(v, nil)
		if err == nil {
			err = r.put(r.open(item{key, content, 1}))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(10) {
		put(r.keys.policy(federation.PolicyID{Origin: "a", Namespace: "n", Name: fmt.Sprint("p", i)}), policyToValue(federation.Policy{Order: i + 1}))
	}
	first := r.state(1)
	put(r.keys.presence("a"), presenceValue{header: header{schemaVersion}, Applied: 1})
	second := r.state(2)
	if &first.Policies[0] != &second.Policies[0] {
		t.Error("a sign of life has copied all policies")
	}
	if len(second.Presence) != 1 || len(first.Presence) != 0 {
		t.Errorf("presence went from %v to %v", first.Presence, second.Presence)
	}
}
