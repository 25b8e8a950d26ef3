package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	"github.com/causeway-mesh/causeway/federation/explain"
)

// stage is a real API server whose pod proxy leads to an operator that the test plays.
type stage struct {
	t          *testing.T
	kube       client.Client
	kubeconfig string
	// asked is the last question, code and answer what the operator says to it.
	asked  *explain.PlanRequest
	code   int
	answer any
}

const proxied = "/api/v1/namespaces/causeway-system/pods/http:op-1:8080/proxy/v1/plan"

func newStage(t *testing.T) *stage {
	t.Helper()
	server, err := controllertest.Start(controllertest.Causeway)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	s := &stage{t: t, kube: server.Client, code: http.StatusOK, answer: explain.Plan{}}
	target, err := url.Parse(server.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	if proxy.Transport, err = rest.TransportFor(server.Config); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == proxied {
			s.operator(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	config := clientcmdapi.NewConfig()
	config.Clusters["us-east"] = &clientcmdapi.Cluster{Server: front.URL}
	config.Contexts["us-east"] = &clientcmdapi.Context{Cluster: "us-east", Namespace: "shop"}
	config.CurrentContext = "us-east"
	if err := clientcmd.WriteToFile(*config, s.kubeconfig); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"causeway-system", "shop"} {
		controllertest.Create(t, s.kube, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return s
}

func (s *stage) operator(w http.ResponseWriter, r *http.Request) {
	s.asked = &explain.PlanRequest{}
	if err := json.NewDecoder(r.Body).Decode(s.asked); err != nil || r.Method != http.MethodPost {
		s.t.Errorf("%s: %v", r.Method, err)
	}
	if text, ok := s.answer.(string); ok {
		http.Error(w, text, s.code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.answer)
}

// lead has operator op-1 hold the lease.
func (s *stage) lead() {
	holder := "op-1_uid"
	controllertest.Create(s.t, s.kube, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "causeway-system", Name: leaseName},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder}})
}

// run is a call with stdin.
func (s *stage) run(stdin string, args ...string) (string, error) {
	s.t.Helper()
	s.asked = nil
	var out bytes.Buffer
	cmd := command(&out)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetArgs(append([]string{"plan", "--kubeconfig", s.kubeconfig}, args...))
	err := cmd.ExecuteContext(s.t.Context())
	return out.String(), err
}

// wantError checks that a call fails with 1, says why, and asks no operator.
func (s *stage) wantError(stdin, says string, args ...string) {
	s.t.Helper()
	if out, err := s.run(stdin, args...); exitCode(err) != 1 || !strings.Contains(err.Error(), says) || s.asked != nil {
		s.t.Errorf("%v: want %q, got %v (asked: %t)\n%s", args, says, err, s.asked != nil, out)
	}
}

const header = "apiVersion: federation.causeway.dev/v1alpha1\nkind: RoutingPolicy\n"

func order(name string, regions ...string) string {
	return header + "metadata: {name: " + name + "}\nspec:\n  targetRefs: [{name: checkout}]\n  regions: [" + strings.Join(regions, ", ") + "]\n"
}

func TestPlanIsTriedByTheAPIServerAndWritesNothing(t *testing.T) {
	s := newStage(t)
	s.lead()
	stored := &api.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "old", Finalizers: []string{api.Finalizer}},
		Spec: api.RoutingPolicySpec{TargetRefs: []api.LocalPolicyTargetReference{{Name: "checkout"}}, Regions: []api.RegionName{"us-east"}}}
	controllertest.Create(t, s.kube, stored)
	if out, err := s.run(order("new", "us-west")+"---\n# nothing\n---\n"+order("old", "us-west", "us-east"), "-f", "-", "--delete", "old"); err != nil {
		t.Fatal(err, out)
	}
	if len(s.asked.Policies) != 2 || len(s.asked.Delete) != 1 || s.asked.Delete[0] != "shop/old" {
		t.Fatalf("asked %+v", s.asked)
	}
	var tried [2]api.RoutingPolicy
	for i := range tried {
		if err := json.Unmarshal(s.asked.Policies[i], &tried[i]); err != nil {
			t.Fatal(err)
		}
	}
	if tried[0].Namespace != "shop" || tried[0].Spec.OnPartition != api.PartitionDemote || tried[0].Generation != 1 {
		t.Errorf("not as the API server would store it: %+v", tried[0])
	}
	if tried[1].Generation != 2 || len(tried[1].Spec.Regions) != 2 {
		t.Errorf("not the successor of what is stored: %+v", tried[1])
	}
	if controllertest.Exists(t, s.kube, &api.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "new"}}) {
		t.Error("the new policy was written")
	}
	if !controllertest.Exists(t, s.kube, stored) || stored.Generation != 1 || stored.DeletionTimestamp != nil {
		t.Errorf("the old policy was written: %+v", stored)
	}
}

func TestPlanThatCannotBeMadeSaysWhyAndExitsWith1(t *testing.T) {
	s := newStage(t)
	s.wantError(order("p", "us-east"), "no operator has ever led", "-f", "-")
	s.lead()
	s.wantError("", "nothing to plan")
	s.wantError("", "no such file", "-f", filepath.Join(t.TempDir(), "absent.yaml"))
	s.wantError("# empty\n", "there is no RoutingPolicy in it", "-f", "-")
	s.wantError("a: [", "-, document 1", "-f", "-")
	s.wantError(order("p", "us-east")+"spec: {}\n", "already set", "-f", "-")
	s.wantError("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n", "it is a Secret of v1", "-f", "-")
	s.wantError(header+"spec: {}\n", "no metadata.name", "-f", "-")
	s.wantError(strings.Repeat("#", explain.MaxPlanBytes+1), "plan it in parts", "-f", "-")
	s.wantError(order("p", "us-east", "us-east"), "each region may stand only once", "-f", "-")
	s.wantError(order("p", "us-east")+"  onPartitoin: Keep\n", "onPartitoin", "-f", "-")
	s.wantError(order("a")+"---\n"+order("b", "us-east", "us-east"), "-, document 1: RoutingPolicy a", "-f", "-")
	s.wantError(order("a")+"---\n"+order("b", "us-east", "us-east"), "-, document 2: RoutingPolicy b", "-f", "-")
	s.wantError(order("p", "us-east"), `"nowhere" not found`, "-f", "-", "-n", "nowhere")
	s.wantError("", `"absent" not found`, "--delete", "absent")
	s.wantError(order("p", "us-east"), "want table or json", "-f", "-", "-o", "yaml")
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestPlanExitsAsItsAnswerSays(t *testing.T) {
	s := newStage(t)
	s.lead()
	file := writeFile(t, order("p", "us-west"))
	for want, answer := range map[int]explain.Plan{0: {}, 2: {Changes: true}, 1: {Changes: true, Refused: true}} {
		s.answer = answer
		out, err := s.run("", "-f", file)
		if got := exitCode(err); got != want || !strings.Contains(out, "nothing is written") {
			t.Errorf("exit code %d (%v), want %d\n%s", got, err, want, out)
		}
	}
	s.answer = evacuation()
	out, err := s.run("", "-f", file, "-o", "json")
	var again explain.Plan
	if jsonErr := json.Unmarshal([]byte(out), &again); jsonErr != nil || !errors.Is(err, errChanges) || len(again.Services) != 1 {
		t.Errorf("%v, %v\n%s", err, jsonErr, out)
	}
	for says, code := range map[string]int{"another plan is being made": http.StatusTooManyRequests, "the plan is too large": http.StatusBadRequest,
		"this replica does not lead": http.StatusServiceUnavailable, "of an older version": http.StatusNotFound} {
		s.code, s.answer = code, says
		if _, err := s.run("", "-f", file); exitCode(err) != 1 || !strings.Contains(err.Error(), says) {
			t.Errorf("%d: want %q, got %v", code, says, err)
		}
	}
}

// evacuation is a policy that takes us-east's calls away, in one of three clusters for good.
func evacuation() explain.Plan {
	side := func(rule string, clusters ...string) explain.PlanSide {
		s := explain.PlanSide{Rule: rule, OnPartition: "Demote", Share: map[string]float64{}}
		for i, c := range clusters {
			s.Tiers = append(s.Tiers, []explain.PlanTarget{{Cluster: c, Weight: 2, LastResort: i > 1}})
		}
		if len(clusters) > 0 {
			s.Share[clusters[0]] = 1
		}
		return s
	}
	return explain.Plan{
		Cluster: "us-east", Changes: true, Assumes: []string{"an assumption"}, Dormant: []string{"shop/cart"},
		Policies: []explain.PlanPolicy{
			{Policy: "us-east:shop/evacuate", Action: "Create", Unexported: []string{"shop/cart"},
				Waves:     []explain.PlanWave{{Clusters: []string{"us-west"}}, {}, {Clusters: []string{"eu-west", "us-east"}, Rest: true}},
				Overrides: []explain.PlanContest{{Service: "shop/checkout", Other: "us-west:shop/late", Order: 9}}},
			{Policy: "us-east:shop/late", Action: "Create", Loses: []explain.PlanContest{{Service: "shop/checkout", Other: "eu-west:shop/first", Order: 3}}},
			{Policy: "us-east:shop/typo", Action: "Refused", Why: `region "us-esat" belongs to no member`},
		},
		Services: []explain.PlanService{{
			Service: "shop/checkout", Port: 80, Importers: 3, Moved: 2.0 / 3, Evacuates: []string{"us-east"},
			Before: map[string]float64{"us-east": 2.0 / 3, "us-west": 1.0 / 3}, After: map[string]float64{"us-west": 2.0 / 3},
			Consumers: []explain.PlanConsumer{
				{Cluster: "eu-west", Before: side("default", "us-east", "us-west"), After: side("p", "us-west", "eu-west", "us-east"), Moved: 1},
				{Cluster: "us-east", Before: side("default", "us-east"), After: side("p"), Moved: 1},
				{Cluster: "us-west", Before: side("p", "us-west", "us-east"), After: side("p", "us-west")},
			},
		}},
	}
}

func TestPlanListsEachShiftOfAnEvacuation(t *testing.T) {
	lines := table(t, func(w io.Writer) { planText(w, evacuation()) })
	for _, want := range []string{
		"+ create policy us-east:shop/evacuate",
		"WARNING: no cluster exports shop/cart",
		"takes shop/checkout from the newer policy us-west:shop/late (order 9)",
		"wave 1: us-west",
		"wave 2: WARNING: names no member",
		"wave 3, all that no wave names: eu-west, us-east",
		"loses shop/checkout to the older policy eu-west:shop/first (order 3), and changes nothing for it",
		`! REFUSED policy us-east:shop/typo: region "us-esat" belongs to no member`,
		"~ shop/checkout:80 from eu-west: us-east -> us-west (100 % of new connections)",
		"tries us-east (weight 2), us-west (weight 2)",
		"then us-west (weight 2), eu-west (weight 2), us-east (weight 2) as a last resort",
		"rules default; on a partition Demote; records of any age",
		"! shop/checkout:80 from us-east: us-east -> no target any more: new connections FAIL",
		"~ shop/checkout:80 from us-west: stays with us-west",
		"from all 3 clusters: us-east 67 %, us-west 33 % -> us-west 67 % (67 % of new connections move)",
		"shop/checkout:80 EVACUATES us-east",
		"~ shop/cart other rules; nobody exports it",
		"Predicted from what cluster us-east knows:",
		"an assumption",
		"Plan: 1 service changes in 3 clusters; 1 service evacuates us-east; 1 service that nobody exports gets other rules; 1 policy would be refused; nothing is written",
	} {
		wantLine(t, lines, want)
	}
}
