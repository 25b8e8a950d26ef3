package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/controllers/policy"
	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/explain"
)

// planner is the admin endpoint of an operator that leads in us-east; us-west exports too.
type planner struct {
	t      *testing.T
	kube   client.Client
	engine *engine.Engine
	op     *operator
	svc    federation.ServiceName
}

func newPlanner(t *testing.T) *planner {
	t.Helper()
	server, err := controllertest.Start(controllertest.Causeway, controllertest.MCS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	store := controllertest.NewStore(t)
	p := &planner{t: t, kube: server.Client}
	p.svc = federation.ServiceName{Namespace: controllertest.Namespace(t, server.Client, "shop"), Name: "checkout"}
	p.engine, _ = controllertest.NewEngine(t, 1)
	store.Join(p.engine, "us-east")
	p.op = newOperator(defaultOptions(), slog.New(slog.DiscardHandler), nil)
	p.op.engine = p.engine
	export := federation.Export{Cluster: "us-west", Service: p.svc, Ports: []federation.ExportedPort{{Port: 80, Protocol: federation.TCP}}}
	if _, err := store.Member("us-west", "uid-west").PutExport(t.Context(), export); err != nil {
		t.Fatal(err)
	}
	export.Cluster = "us-east"
	if _, err := p.engine.SetExport(t.Context(), export); err != nil {
		t.Fatal(err)
	}
	p.engine.SetEndpoints(p.svc, map[uint16]engine.PortEndpoints{80: {Ready: []string{"10.0.0.1:80"}, Total: 1}})
	p.engine.SetEgressPorts(map[federation.ServicePort]engine.EgressPort{p.port(): {Port: 20000}})
	controllertest.Await(t, "both exports", func() bool { return p.goes() == "us-east" && len(p.engine.View().Exports[p.svc]) == 2 })
	return p
}

func (p *planner) port() federation.ServicePort {
	return federation.ServicePort{Service: p.svc, Port: 80}
}

// goes is where the engine sends us-east's calls.
func (p *planner) goes() federation.ClusterName {
	w, _ := p.engine.View().Decisions[p.port()].Winner()
	return w.Cluster
}

func (p *planner) policy(regions ...api.RegionName) *api.RoutingPolicy {
	return &api.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: p.svc.Namespace, Name: "order"}, Spec: api.RoutingPolicySpec{
		TargetRefs: []api.LocalPolicyTargetReference{{Name: p.svc.Name}}, Regions: regions,
		OnPartition: api.PartitionWithdraw, MaxRecordAge: &metav1.Duration{Duration: time.Hour},
	}}
}

// ask plans objects that have been through the API server's dry run.
func (p *planner) ask(objects ...*api.RoutingPolicy) explain.Plan {
	p.t.Helper()
	var request explain.PlanRequest
	for _, o := range objects {
		if err := p.kube.Create(p.t.Context(), o, client.DryRunAll); client.IgnoreAlreadyExists(err) != nil {
			p.t.Fatal(err)
		}
		raw, err := json.Marshal(o)
		if err != nil {
			p.t.Fatal(err)
		}
		request.Policies = append(request.Policies, raw)
	}
	body, err := json.Marshal(request)
	if err != nil {
		p.t.Fatal(err)
	}
	code, text := p.post(body)
	var answer explain.Plan
	if err := json.Unmarshal([]byte(text), &answer); err != nil || code != http.StatusOK {
		p.t.Fatalf("%d %s: %v", code, text, err)
	}
	return answer
}

func (p *planner) post(body []byte) (int, string) {
	w := httptest.NewRecorder()
	p.op.admin().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/plan", bytes.NewReader(body)))
	return w.Code, w.Body.String()
}

func (p *planner) published() bool { return len(p.engine.View().Policies) > 0 }

// The plan, then what its controller makes of the same object: the prediction comes true,
// and there is nothing left to plan.
func TestPlannedPolicyDoesWhatWasPlannedOnceItIsApplied(t *testing.T) {
	p := newPlanner(t)
	answer := p.ask(p.policy("us-west", "us-east"))
	if p.published() || controllertest.Exists(t, p.kube, p.policy()) {
		t.Fatal("planning wrote something")
	}
	if len(answer.Services) != 1 || !answer.Changes || answer.Policies[0].Action != "Create" {
		t.Fatalf("%+v", answer)
	}
	var ours explain.PlanConsumer
	for _, c := range answer.Services[0].Consumers {
		if c.Cluster == "us-east" {
			ours = c
		}
	}
	if p.goes() != "us-east" || ours.Before.Tiers[0][0].Cluster != "us-east" || ours.After.Tiers[0][0].Cluster != "us-west" || ours.Moved != 1 {
		t.Fatalf("%+v", ours)
	}
	controllertest.Create(t, p.kube, p.policy("us-west", "us-east"))
	c := policy.NewController(p.kube, events.NewFakeRecorder(100), p.engine)
	if _, err := c.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p.policy())}); err != nil {
		t.Fatal(err)
	}
	controllertest.Await(t, "the policy to hold", func() bool { return p.goes() == "us-west" })
	again := p.policy("us-west", "us-east")
	if !controllertest.Exists(t, p.kube, again) {
		t.Fatal("the policy has gone")
	}
	if answer = p.ask(again); answer.Changes || answer.Policies[0].Action != "Unchanged" {
		t.Errorf("what is applied changes something when it is planned again: %+v", answer)
	}
	code, text := p.post([]byte(`{"delete":["` + p.svc.Namespace + `/order"]}`))
	if code != http.StatusOK || !strings.Contains(text, `"action": "Delete"`) || !strings.Contains(text, `"changes": true`) || !p.published() {
		t.Errorf("%d %s", code, text)
	}
}

func TestPlanRequestThatCannotWorkIsRefusedWithAReason(t *testing.T) {
	op := newOperator(defaultOptions(), slog.New(slog.DiscardHandler), nil)
	p := &planner{t: t, op: op}
	for name, c := range map[string]struct {
		body string
		code int
		says string
	}{
		"no JSON":             {"x", http.StatusBadRequest, "reading the request"},
		"too long":            {`{"delete":["` + strings.Repeat("x", explain.MaxPlanBytes) + `"]}`, http.StatusRequestEntityTooLarge, "too large"},
		"nameless policy":     {`{"policies":[{}]}`, http.StatusBadRequest, "no namespace"},
		"policy of a number":  {`{"policies":[7]}`, http.StatusBadRequest, "reading the RoutingPolicy"},
		"deletion of nothing": {`{"delete":["order"]}`, http.StatusBadRequest, "want namespace/name"},
		"a standby":           {`{}`, http.StatusServiceUnavailable, engine.ErrNotLeading.Error()},
	} {
		if code, text := p.post([]byte(c.body)); code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s", name, code, text)
		}
	}
	op.planning.Lock()
	if code, text := p.post([]byte(`{}`)); code != http.StatusTooManyRequests {
		t.Errorf("two at a time: %d %s", code, text)
	}
	op.planning.Unlock()
	w := httptest.NewRecorder()
	op.admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/plan", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestWavesOfACandidateAreRead(t *testing.T) {
	got, err := candidate("us-east", []byte(`{"metadata":{"namespace":"shop","name":"p"},"spec":{"rollout":{"waves":[{"regions":["eu-west"]},{"clusters":["us-east"]}],"bake":"5m"}}}`))
	want := &federation.RolloutPlan{Bake: 5 * time.Minute, Waves: []federation.Wave{
		{Regions: []federation.Region{"eu-west"}}, {Clusters: []federation.ClusterName{"us-east"}}}}
	if d := cmp.Diff(want, got.Rollout); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
}
