package v1alpha1_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
)

const root = "../../.."

// kube is a client of a real API server with our CRDs; nothing else runs.
var kube client.Client

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		assets, _ = filepath.Abs(filepath.Join(root, "bin"))
	}
	for _, name := range []string{"kube-apiserver", "etcd"} {
		if _, err := os.Stat(filepath.Join(assets, name)); err != nil {
			fmt.Fprintf(os.Stderr, "%v: run `make assets` first\n", err)
			return 1
		}
	}
	env := &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join(root, "config", "crd")}, ErrorIfCRDPathMissing: true, BinaryAssetsDirectory: assets,
	}
	config, err := env.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the API server:", err)
		return 1
	}
	defer func() { _ = env.Stop() }()
	scheme := runtime.NewScheme()
	if err := api.AddToScheme(scheme); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if kube, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func meshFederation() *api.MeshFederation {
	return &api.MeshFederation{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "f-"},
		Spec: api.MeshFederationSpec{
			Federation: "demo", Cluster: api.ClusterIdentity{Name: "us-east", Region: "us-east"}, TrustDomain: "mesh.example.org",
			PolicyStore: api.PolicyStore{Endpoints: []api.StoreEndpoint{"https://10.40.0.1:2379"}, TLSSecretRef: api.SecretReference{Name: "store"}},
			IssuerRef:   api.IssuerReference{Name: "causeway"},
		},
	}
}

func routingPolicy() *api.RoutingPolicy {
	return &api.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "p-", Namespace: "default"},
		Spec:       api.RoutingPolicySpec{TargetRefs: []api.LocalPolicyTargetReference{{Name: "checkout"}}, Regions: []api.RegionName{"us-east"}},
	}
}

func refused(t *testing.T, o client.Object, says string) {
	t.Helper()
	err := kube.Create(context.Background(), o)
	if err == nil {
		t.Errorf("was taken; want a refusal that says %q", says)
		return
	}
	if !strings.Contains(err.Error(), says) {
		t.Errorf("the refusal does not say %q: %v", says, err)
	}
}

func TestGoodObjectsAreTakenWithDefaults(t *testing.T) {
	f := meshFederation()
	if err := kube.Create(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if f.Spec.Gateway.Port != 15443 || f.Spec.IssuerRef.Kind != "ClusterIssuer" || f.Spec.Identity.Duration.Hours() != 24 {
		t.Errorf("defaults: %+v", f.Spec)
	}
	p := routingPolicy()
	if err := kube.Create(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if p.Spec.OnPartition != api.PartitionDemote || p.Spec.MaxRecordAge != nil {
		t.Errorf("defaults: onPartition %q, maxRecordAge %v", p.Spec.OnPartition, p.Spec.MaxRecordAge)
	}
	if ref := p.Spec.TargetRefs[0]; ref.Kind != "ServiceImport" || ref.Group != "multicluster.x-k8s.io" {
		t.Errorf("defaults: %+v", ref)
	}
}

func TestMeshFederationRefusals(t *testing.T) {
	for says, change := range map[string]func(*api.MeshFederationSpec){
		"federation must be a DNS label":            func(s *api.MeshFederationSpec) { s.Federation = "Demo!" },
		"cluster.name must be a DNS label":          func(s *api.MeshFederationSpec) { s.Cluster.Name = "us_east" },
		"a region must look like a label value":     func(s *api.MeshFederationSpec) { s.Cluster.Region = "us east" },
		"trustDomain must be a SPIFFE trust domain": func(s *api.MeshFederationSpec) { s.TrustDomain = "spiffe://x" },
		"must be written https://host:port":         func(s *api.MeshFederationSpec) { s.PolicyStore.Endpoints = []api.StoreEndpoint{"http://10.0.0.1:2379"} },
		"spec.policyStore.endpoints":                func(s *api.MeshFederationSpec) { s.PolicyStore.Endpoints = nil },
		"seeds must name other clusters": func(s *api.MeshFederationSpec) {
			s.Seeds = []api.Seed{{Cluster: "us-east", Addresses: []api.Address{"10.0.0.1"}}}
		},
		"a seed of another trust domain needs": func(s *api.MeshFederationSpec) {
			s.Seeds = []api.Seed{{Cluster: "x", TrustDomain: "other", Addresses: []api.Address{"10.0.0.1"}}}
		},
		"an address must be written host or host:port": func(s *api.MeshFederationSpec) {
			s.Gateway.Addresses = []api.GatewayAddress{{Instance: "g", Address: "a b"}}
		},
		"pem must hold at least one CERTIFICATE": func(s *api.MeshFederationSpec) { s.TrustBundles = []api.TrustBundle{{TrustDomain: "d", PEM: "x"}} },
	} {
		t.Run(says, func(t *testing.T) {
			f := meshFederation()
			change(&f.Spec)
			refused(t, f, says)
		})
	}
}

func TestIdentityCannotBeChanged(t *testing.T) {
	for says, change := range map[string]func(*api.MeshFederationSpec){
		"federation cannot be changed":   func(s *api.MeshFederationSpec) { s.Federation = "other" },
		"cluster.name cannot be changed": func(s *api.MeshFederationSpec) { s.Cluster.Name = "other" },
	} {
		f := meshFederation()
		if err := kube.Create(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		change(&f.Spec)
		if err := kube.Update(t.Context(), f); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestRoutingPolicyRefusals(t *testing.T) {
	for says, change := range map[string]func(*api.RoutingPolicySpec){
		"each region may stand only once": func(s *api.RoutingPolicySpec) { s.Regions = []api.RegionName{"a", "a"} },
		"spec.regions":                    func(s *api.RoutingPolicySpec) { s.Regions = nil },
		"spec.targetRefs":                 func(s *api.RoutingPolicySpec) { s.TargetRefs = nil },
		"targetRefs must have the kind":   func(s *api.RoutingPolicySpec) { s.TargetRefs[0].Kind = "Service" },
		"targetRefs must have the group":  func(s *api.RoutingPolicySpec) { s.TargetRefs[0].Group = "apps" },
		"spec.onPartition":                func(s *api.RoutingPolicySpec) { s.OnPartition = "Ignore" },
		"maxRecordAge must lie between 10s and 168h": func(s *api.RoutingPolicySpec) {
			s.MaxRecordAge = &metav1.Duration{Duration: 9 * time.Second}
		},
		"spec.rollout.waves": func(s *api.RoutingPolicySpec) { s.Rollout = &api.Rollout{} },
		"a wave must name a region or a cluster": func(s *api.RoutingPolicySpec) {
			s.Rollout = &api.Rollout{Waves: []api.RolloutWave{{}}}
		},
		"bake must lie between 0s and 24h": func(s *api.RoutingPolicySpec) {
			s.Rollout = rollout()
			s.Rollout.Bake = &metav1.Duration{Duration: 25 * time.Hour}
		},
		"maxErrorRate must be written in percent": func(s *api.RoutingPolicySpec) { s.Rollout = rollout(); s.Rollout.MaxErrorRate = "0.01" },
		"maxLatency must lie between 1ms and 1m": func(s *api.RoutingPolicySpec) {
			s.Rollout = rollout()
			s.Rollout.MaxLatency = &metav1.Duration{Duration: 2 * time.Minute}
		},
		"a cluster name must be a DNS label":        func(s *api.RoutingPolicySpec) { s.Rollout = rollout(); s.Rollout.Waves[0].Clusters[0] = "US" },
		"each ServiceImport may be named only once": func(s *api.RoutingPolicySpec) { s.TargetRefs = append(s.TargetRefs, s.TargetRefs[0]) },
	} {
		t.Run(says, func(t *testing.T) {
			p := routingPolicy()
			change(&p.Spec)
			refused(t, p, says)
		})
	}
}

func rollout() *api.Rollout {
	return &api.Rollout{Waves: []api.RolloutWave{{Clusters: []api.ClusterName{"us-east"}}, {Regions: []api.RegionName{"eu-west"}}}}
}

func TestRolloutsAreTakenWithTheirDefaults(t *testing.T) {
	for _, rate := range []string{"", "0%", "0.5%", "1%", "10.0%", "100%"} {
		p := routingPolicy()
		p.Spec.Rollout = rollout()
		p.Spec.Rollout.MaxErrorRate = rate
		if err := kube.Create(t.Context(), p); err != nil {
			t.Errorf("%q: %v", rate, err)
		} else if b := p.Spec.Rollout.Bake; b == nil || b.Duration != time.Minute {
			t.Errorf("bake is %v by default", b)
		}
	}
	for _, rate := range []string{"101%", "1.25%", "00%", "-1%", "100.5%"} {
		p := routingPolicy()
		p.Spec.Rollout = rollout()
		p.Spec.Rollout.MaxErrorRate = rate
		refused(t, p, "maxErrorRate must be written in percent")
	}
}

func TestPartitionPoliciesAreTaken(t *testing.T) {
	for _, on := range []api.PartitionPolicy{api.PartitionKeep, api.PartitionDemote, api.PartitionWithdraw, api.PartitionWithdrawWithQuorum} {
		for _, age := range []time.Duration{10 * time.Second, 90 * time.Minute, 168 * time.Hour} {
			p := routingPolicy()
			p.Spec.OnPartition, p.Spec.MaxRecordAge = on, &metav1.Duration{Duration: age}
			if err := kube.Create(t.Context(), p); err != nil {
				t.Errorf("%s, %s: %v", on, age, err)
			}
		}
	}
	p := routingPolicy()
	p.Spec.MaxRecordAge = &metav1.Duration{Duration: 169 * time.Hour}
	refused(t, p, "maxRecordAge must lie between 10s and 168h")
}
