package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/e2e/load"
	"github.com/causeway-mesh/causeway/e2e/testbed"
	"github.com/causeway-mesh/causeway/federation/explain"
)

// TestThreeRegions is the federation as a user has it. The parts share one world
// and run in order: what is killed is not restarted.
func TestThreeRegions(t *testing.T) {
	s := newScene(t)
	t.Run("kubectl shows every kind, ready", s.shows)
	t.Run("causewayctl tells what the operator decided", s.tells)
	t.Run("an edit of an EffectivePolicy is refused with a word on where to go", s.readOnly)
	w := s.newWatch(t)
	t.Run("Prometheus answers every query of a healthy federation's dashboard", w.watches)
	t.Run("a lost region costs no request on a new connection", s.losesRegion)
	t.Run("gateways that hang are left, and told as hanging", s.hangs)
	t.Run("a lost API server is told and nothing moves", s.losesAPIServer)
	t.Run("Prometheus answers the queries that faults are for, and rules have seen them", w.watched)
	t.Run("an unknown region in an order changes nothing in force", s.unknownRegion)
	t.Run("a missing issuer is told and the identity stays", s.missingIssuer)
	t.Run("an unreachable policy store is told and nothing stops", s.unreachableStore)
	t.Run("a wrong CA of the policy store is told and nothing stops", s.wrongStoreCA)
	t.Run("a second MeshFederation changes nothing", s.secondFederation)
	t.Run("a name that is taken is told and its owner is not disturbed", s.nameTaken)
	t.Run("a leader whose predecessors are forgotten leads above what peers know of them", s.losesLease)
	t.Run("kill -9 of the policy store costs nothing", func(t *testing.T) { s.kills(t, s.Store) })
	t.Run("kill -9 of a gateway costs what was in flight on it", func(t *testing.T) {
		s.kills(t, s.Gateways["eu-west"][0].Process)
		s.kills(t, s.Gateways["us-east"][0].Process)
	})
	t.Run("kill -9 of the leading operator costs nothing", func(t *testing.T) { s.kills(t, s.leader(t, "eu-west")) })
	t.Run("between clusters only TLS was seen", s.onlyTLS)
}

func (s *scene) kubectl(t *testing.T, cluster string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := s.world.Clusters[cluster].Kubectl(ctx, nil, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// eventually polls until check says nothing, at most limit.
func eventually(t *testing.T, limit time.Duration, check func() string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		trouble := check()
		if trouble == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s", limit, trouble)
		}
		<-time.After(100 * time.Millisecond)
	}
}

func (s *scene) shows(t *testing.T) {
	for name := range s.world.Clusters {
		eventually(t, 20*time.Second, func() string {
			ready := s.kubectl(t, name, "get", "meshfederations", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}/{.items[*].status.memberCount}`)
			if ready != "True/3" {
				return name + ": MeshFederation is " + ready
			}
			if got := s.kubectl(t, name, "-n", "shop", "get", "serviceimports", "checkout", "-o", "jsonpath={.status.clusters[*].cluster}"); got != "us-east us-west" {
				return name + ": ServiceImport names the clusters " + got
			}
			if got := s.kubectl(t, name, "-n", "shop", "get", "effectivepolicies", "-o", "jsonpath={.items[*].spec.origin}"); got != "eu-west" {
				return name + ": EffectivePolicy's origin is " + got
			}
			return ""
		})
	}
	accepted := s.kubectl(t, "eu-west", "-n", "shop", "get", "routingpolicy", "checkout", "-o", `jsonpath={.status.conditions[?(@.type=="Accepted")].status}`)
	if accepted != "True" {
		t.Errorf("RoutingPolicy is Accepted=%s", accepted)
	}
	t.Log("\n" + s.kubectl(t, "eu-west", "get", "serviceimports,routingpolicies,effectivepolicies,meshfederations", "-A"))
}

// readOnly waits for the refusal: an API server takes up admission policies in its own time.
func (s *scene) readOnly(t *testing.T) {
	patch := []string{"-n", "shop", "patch", "effectivepolicy", "eu-west.checkout", "--type=merge", "-p", `{"metadata":{"labels":{"tried":"yes"}}}`}
	for name, c := range s.world.Clusters {
		eventually(t, 30*time.Second, func() string {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			out, err := c.Kubectl(ctx, nil, patch...)
			if err == nil {
				return name + " takes an edit: " + out
			}
			if says := fmt.Sprint(out, err); !strings.Contains(says, `change the RoutingPolicy "checkout" in the cluster "eu-west"`) {
				return name + " refuses it so: " + says
			}
			return ""
		})
	}
}

// ctl runs causewayctl inside the cluster's site.
func (s *scene) ctl(t *testing.T, cluster string, args ...string) (string, error) {
	t.Helper()
	c := s.world.Clusters[cluster]
	kubeconfig, err := c.Kubeconfig(testbed.Admin())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(filepath.Join(s.bin, "causewayctl"), append(args, "--kubeconfig", kubeconfig)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := c.Site.Start(cmd); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	return out.String(), err
}

func (s *scene) tells(t *testing.T) {
	out, err := s.ctl(t, "eu-west", "explain", "shop/checkout", "-o", "json")
	if err != nil {
		t.Fatal(err, out)
	}
	var services []explain.Service
	if err := json.Unmarshal([]byte(out), &services); err != nil {
		t.Fatal(err, out)
	}
	if len(services) != 1 || services[0].Goes != "us-east" || services[0].Rule != "eu-west:shop/checkout" || len(services[0].Candidates) != 2 {
		t.Errorf("explain says %s", out)
	}
	for _, c := range services[0].Candidates {
		if c.Ready != 2 || c.Verdict != "Reachable" || c.RTTMS < 60 {
			t.Errorf("candidate %+v", c)
		}
	}
	status, err := s.ctl(t, "eu-west", "status")
	if err != nil || !strings.Contains(status, "us-east") {
		t.Errorf("status: %v\n%s", err, status)
	}
	if out, err := s.ctl(t, "eu-west", "explain", "shop/nothing"); err == nil || !strings.Contains(out, "is not imported in this cluster") {
		t.Errorf("explaining what is not there: %v %s", err, out)
	}
	t.Log("\n" + status)
}

// under runs requests on new connections while f acts, until f and settle are
// over; it returns those that failed although no process or region that they
// were open on had died under them.
func (s *scene) under(t *testing.T, settle time.Duration, f func()) (results []load.Result, fault time.Time) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &load.Recorder{Every: 20 * time.Millisecond, Timeout: 5 * time.Second, Do: s.client.Request}
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	<-time.After(time.Second) // steady traffic before the fault
	fault = time.Now()
	f()
	<-time.After(settle) // the load is the measurement; there is no condition to wait for
	cancel()
	wg.Wait()
	results = r.Results()
	if len(results) < 50 {
		t.Fatalf("only %d requests were made: the run is invalid", len(results))
	}
	return results, fault
}

// newFailures are the failures of requests that were not open at the fault.
func newFailures(results []load.Result, fault time.Time) (fresh, open []load.Result) {
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		if r.Scheduled.Before(fault) && r.Scheduled.Add(r.Latency).After(fault) {
			open = append(open, r)
			continue
		}
		fresh = append(fresh, r)
	}
	return fresh, open
}

func (s *scene) losesRegion(t *testing.T) {
	east := s.world.Clusters["us-east"]
	results, fault := s.under(t, 5*time.Second, func() {
		if err := east.Isolate(true); err != nil {
			t.Fatal(err)
		}
	})
	if fresh, _ := newFailures(results, fault); len(fresh) > 0 {
		t.Errorf("%d requests on new connections failed, first: %v", len(fresh), fresh[0].Err)
	}
	recovery, ok := load.Recovery(results, fault, 50, time.Second)
	if !ok {
		t.Error("traffic did not recover within 5 s")
	}
	t.Logf("recovered after %s", recovery)
	if out, err := s.ctl(t, "eu-west", "status"); err != nil || !strings.Contains(out, "Down") {
		t.Errorf("status does not name the lost region: %v\n%s", err, out)
	}
	if err := east.Isolate(false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.client.AwaitServedBy(ctx, "us-east", 30*time.Second); err != nil {
		t.Errorf("traffic did not come back: %v", err)
	}
}

func (s *scene) unknownRegion(t *testing.T) {
	order := func(regions string) {
		s.kubectl(t, "eu-west", "-n", "shop", "patch", "routingpolicy", "checkout", "--type=merge", "-p", `{"spec":{"regions":[`+regions+`]}}`)
	}
	order(`"us-esat","us-west"`)
	defer order(`"us-east","us-west","eu-west"`)
	eventually(t, 10*time.Second, func() string {
		message := s.kubectl(t, "eu-west", "-n", "shop", "get", "routingpolicy", "checkout", "-o", `jsonpath={.status.conditions[?(@.type=="Accepted")].message}`)
		if !strings.Contains(message, `region "us-esat" belongs to no member; known: eu-west, us-east, us-west`) {
			return "the condition says: " + message
		}
		return ""
	})
	if err := s.client.AwaitServedBy(t.Context(), "us-east", 10*time.Second); err != nil {
		t.Errorf("the last good order is not in force: %v", err)
	}
}

func (s *scene) missingIssuer(t *testing.T) {
	set := func(name string) {
		s.kubectl(t, "eu-west", "patch", "meshfederation", "demo", "--type=merge", "-p", `{"spec":{"issuerRef":{"name":"`+name+`"}}}`)
	}
	reason := func() string {
		return s.kubectl(t, "eu-west", "get", "meshfederation", "demo", "-o", `jsonpath={.status.conditions[?(@.type=="IdentityReady")].reason}`)
	}
	set("nobody")
	eventually(t, 15*time.Second, func() string {
		if got := reason(); got != "IssuerNotFound" {
			return "IdentityReady's reason is " + got
		}
		return ""
	})
	if _, err := s.client.First(t.Context()); err != nil {
		t.Errorf("traffic stopped: %v", err)
	}
	set("causeway")
	eventually(t, 15*time.Second, func() string {
		if got := reason(); got != "Issued" {
			return "IdentityReady's reason is " + got
		}
		return ""
	})
}

func (s *scene) kills(t *testing.T, p *testbed.Process) {
	t.Helper()
	results, fault := s.under(t, 4*time.Second, p.Kill)
	fresh, open := newFailures(results, fault)
	if len(fresh) > 0 {
		t.Errorf("after kill -9 of %s %d requests on new connections failed, first after %s: %v", p.Name, len(fresh), fresh[0].Scheduled.Sub(fault), fresh[0].Err)
	}
	t.Logf("kill -9 of %s: %d requests, %d of those in flight on it lost", p.Name, len(results), len(open))
}

func (s *scene) leader(t *testing.T, cluster string) *testbed.Process {
	t.Helper()
	holder := s.kubectl(t, cluster, "-n", "causeway-system", "get", "lease", "causeway-operator", "-o", "jsonpath={.spec.holderIdentity}")
	name, _, _ := strings.Cut(holder, "_")
	for _, pod := range s.Operators[cluster] {
		if pod.Spec.Name == name {
			return pod.Process
		}
	}
	t.Fatalf("the lease is held by %q, which is no operator of ours", holder)
	return nil
}

func (s *scene) onlyTLS(t *testing.T) {
	report := s.wire.Report()
	if report.Streams == 0 || report.Records == 0 {
		t.Fatalf("nothing was captured: %+v", report)
	}
	if len(report.Findings) > 0 {
		t.Errorf("something other than TLS crossed: %v", report.Findings)
	}
	t.Logf("%+v", report)
}
