package mesh_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
)

// TestPolicy is one policy for all regions: what a change would do, its waves, a gate that
// takes it back, and going back by hand.
func TestPolicy(t *testing.T) {
	s := newScene(t)
	t.Run("a plan lists each shift and writes nothing", s.plans)
	t.Run("a change comes in waves and holds everywhere at the end", s.waves)
	t.Run("a wave that a gate stops is taken back everywhere", s.gateFails)
	t.Run("undo brings back an earlier version at once", s.undoes)
	t.Run("operators that restart while the store is away route and fail over", s.losesStore)
}

// policy is checkout's in its own cluster.
func (s *scene) policy(t *testing.T) api.RoutingPolicy {
	t.Helper()
	var p api.RoutingPolicy
	if err := json.Unmarshal([]byte(s.kubectl(t, "eu-west", "-n", "shop", "get", "routingpolicy", "checkout", "-o", "json")), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *scene) patch(t *testing.T, spec string) {
	t.Helper()
	s.kubectl(t, "eu-west", "-n", "shop", "patch", "routingpolicy", "checkout", "--type=merge", "-p", `{"spec":`+spec+`}`)
}

// inForce is what holds in a cluster.
func (s *scene) inForce(t *testing.T, cluster string) api.EffectivePolicySpec {
	t.Helper()
	var p api.EffectivePolicy
	if err := json.Unmarshal([]byte(s.kubectl(t, cluster, "-n", "shop", "get", "effectivepolicy", "eu-west.checkout", "-o", "json")), &p); err != nil {
		t.Fatal(err)
	}
	return p.Spec
}

func exitCode(err error) int {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func (s *scene) plans(t *testing.T) {
	before := s.policy(t)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(regions string) {
		t.Helper()
		text := "apiVersion: federation.causeway.dev/v1alpha1\nkind: RoutingPolicy\nmetadata: {name: checkout, namespace: shop}\nspec:\n  targetRefs: [{name: checkout}]\n  regions: " + regions + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[us-west, us-east, eu-west]")
	out, err := s.ctl(t, "eu-west", "plan", "-f", file)
	if exitCode(err) != 2 {
		t.Fatalf("a plan that moves traffic exits with %d:\n%s", exitCode(err), out)
	}
	for _, says := range []string{"shop/checkout:80", "eu-west", "us-east -> us-west", "nothing is written"} {
		if !strings.Contains(out, says) {
			t.Errorf("the plan does not say %q:\n%s", says, out)
		}
	}
	t.Log("\n" + out)
	write("[us-east, us-west, eu-west]")
	if out, err := s.ctl(t, "eu-west", "plan", "-f", file); exitCode(err) != 0 {
		t.Errorf("a plan of what holds exits with %d:\n%s", exitCode(err), out)
	}
	write("[mars]")
	if out, err := s.ctl(t, "eu-west", "plan", "-f", file); exitCode(err) != 1 || !strings.Contains(out, "mars") {
		t.Errorf("a plan with an unknown region exits with %d:\n%s", exitCode(err), out)
	}
	if after := s.policy(t); after.ResourceVersion != before.ResourceVersion && after.Generation != before.Generation {
		t.Errorf("planning has changed the policy: generation %d became %d", before.Generation, after.Generation)
	}
}

func (s *scene) waves(t *testing.T) {
	order := []string{"us-west", "us-east", "eu-west"}
	s.patch(t, `{"maxRecordAge":"1h","rollout":{"bake":"3s","waves":[{"clusters":["us-west"]},{"regions":["us-east"]}]}}`)
	var reached []string
	eventually(t, time.Minute, func() string {
		for _, c := range order {
			if age := s.inForce(t, c).MaxRecordAge; age != nil && !slices.Contains(reached, c) {
				reached = append(reached, c)
			}
		}
		if r := s.policy(t).Status.Rollout; len(reached) < 3 || r == nil || r.Phase != "Completed" {
			return fmt.Sprintf("it has reached %v, and stands at %+v", reached, r)
		}
		return ""
	})
	if !slices.Equal(reached, order) {
		t.Errorf("it came in the order %v, want %v", reached, order)
	}
	out, err := s.ctl(t, "eu-west", "rollout", "status", "checkout", "-n", "shop", "--timeout", "20s")
	if err != nil {
		t.Errorf("rollout status: %v", err)
	}
	t.Log("\n" + out)
}

func (s *scene) gateFails(t *testing.T) {
	before := s.inForce(t, "eu-west")
	var during api.EffectivePolicySpec
	_, _ = s.under(t, time.Second, func() {
		// From eu-west the other region is 146 ms away: further than the gate allows.
		s.patch(t, `{"regions":["us-west","us-east","eu-west"],"rollout":{"bake":"1m","maxLatency":"100ms","waves":[{"clusters":["eu-west"]}]}}`)
		eventually(t, time.Minute, func() string {
			if during = s.inForce(t, "eu-west"); during.Regions[0] != "us-west" {
				return fmt.Sprintf("the first wave follows %v", during.Regions)
			}
			return ""
		})
		if got := s.inForce(t, "us-east"); got.Regions[0] != "us-east" {
			t.Errorf("a later wave follows %v already", got.Regions)
		}
		eventually(t, time.Minute, func() string {
			if r := s.policy(t).Status.Rollout; r == nil || r.Phase != "RolledBack" || r.Reason != "GateFailed" {
				return fmt.Sprintf("the rollout stands at %+v", r)
			}
			return ""
		})
	})
	eventually(t, 10*time.Second, func() string {
		for name := range s.world.Clusters {
			if got := s.inForce(t, name); got.Generation != before.Generation || got.Regions[0] != "us-east" {
				return fmt.Sprintf("in %s holds generation %d, %v", name, got.Generation, got.Regions)
			}
		}
		return ""
	})
	r := s.policy(t).Status.Rollout
	if !strings.Contains(r.Message, "latency") || !strings.Contains(r.Message, "eu-west") {
		t.Errorf("the rollout says %q", r.Message)
	}
	out, err := s.ctl(t, "eu-west", "rollout", "status", "checkout", "-n", "shop", "--timeout", "20s")
	if exitCode(err) != 1 {
		t.Errorf("rollout status of what was taken back exits with %d", exitCode(err))
	}
	t.Log("\n" + out)
}

func (s *scene) undoes(t *testing.T) {
	s.patch(t, `{"regions":["us-east","us-west","eu-west"],"maxRecordAge":"2h","rollout":null}`)
	eventually(t, 20*time.Second, func() string {
		for name := range s.world.Clusters {
			if got := s.inForce(t, name); got.MaxRecordAge == nil || got.MaxRecordAge.Duration != 2*time.Hour {
				return fmt.Sprintf("in %s holds %v", name, got.MaxRecordAge)
			}
		}
		return ""
	})
	history := s.policy(t).Status.History
	var back int64
	for _, v := range history {
		if v.MaxRecordAge != nil && v.MaxRecordAge.Duration == time.Hour && v.Regions[0] == "us-east" {
			back = v.Generation
		}
	}
	if back == 0 {
		t.Fatalf("the version with an hour is not in the history: %+v", history)
	}
	out, err := s.ctl(t, "eu-west", "rollout", "undo", "checkout", "-n", "shop", "--to-generation", fmt.Sprint(back))
	if err != nil {
		t.Fatalf("undo: %v\n%s", err, out)
	}
	t.Log("\n" + out)
	eventually(t, 20*time.Second, func() string {
		for name := range s.world.Clusters {
			if got := s.inForce(t, name); got.Generation != back || got.MaxRecordAge == nil || got.MaxRecordAge.Duration != time.Hour {
				return fmt.Sprintf("in %s holds generation %d, %v", name, got.Generation, got.MaxRecordAge)
			}
		}
		return ""
	})
}

// losesStore kills the store and both operators of a cluster; the new ones know nothing
// but what was kept, and then a region dies.
func (s *scene) losesStore(t *testing.T) {
	const cluster = "eu-west"
	c := s.world.Clusters[cluster]
	s.Store.Kill()
	for n, pod := range s.Operators[cluster] {
		pod.Process.Kill()
		s.kubectl(t, cluster, "-n", "causeway-system", "delete", "pod", pod.Spec.Name, "--grace-period=0", "--force")
		if err := s.StartOperator(t.Context(), c, n+1); err != nil {
			t.Fatal(err)
		}
	}
	shown := func() api.MeshFederation {
		var f api.MeshFederation
		if err := json.Unmarshal([]byte(s.kubectl(t, cluster, "get", "meshfederation", "demo", "-o", "json")), &f); err != nil {
			t.Fatal(err)
		}
		return f
	}
	eventually(t, time.Minute, func() string {
		out, err := s.ctl(t, cluster, "explain", "shop/checkout")
		if err != nil || !strings.Contains(out, "us-east") || !strings.Contains(out, "us-west") || strings.Contains(out, "Unknown") {
			return fmt.Sprintf("explain: %v\n%s", err, out)
		}
		return ""
	})
	if f := shown(); f.Status.MemberCount != 3 {
		t.Errorf("the status tells of %d members", f.Status.MemberCount)
	}
	s.awaitReason(t, cluster, "PolicyStoreReady", "Unreachable")
	results, fault := s.under(t, 5*time.Second, func() {
		if err := s.world.Clusters["us-east"].Isolate(true); err != nil {
			t.Fatal(err)
		}
	})
	if fresh, _ := newFailures(results, fault); len(fresh) > 0 {
		t.Errorf("after a region died, with the store away and new operators, %d requests on new connections failed: %v", len(fresh), fresh[0].Err)
	}
	eventually(t, 20*time.Second, func() string {
		out, err := s.ctl(t, cluster, "status")
		if err != nil || !strings.Contains(out, "ClusterDown") {
			return fmt.Sprintf("status: %v\n%s", err, out)
		}
		return ""
	})
	if err := s.world.Clusters["us-east"].Isolate(false); err != nil {
		t.Fatal(err)
	}
	if err := s.StartStore(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.awaitReason(t, cluster, "PolicyStoreReady", "Connected")
}
