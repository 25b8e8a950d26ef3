package chart_test

import (
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/hack/packaging/chart"
)

const dir = "../../../config/chart"

// required is the least that an installation needs.
const required = `
federation: {name: demo}
cluster: {name: eu-west, region: eu-west}
trustDomain: mesh.example.org
policyStore: {endpoints: ["https://10.40.0.1:2379"]}
issuerRef: {name: causeway}
`

const everything = `
image: {repository: mirror.example.org/causeway, tag: v9, pullPolicy: Always}
imagePullSecrets: [{name: pull}]
logLevel: debug
priorityClassName: system-cluster-critical
commonLabels: {team: mesh}
meshFederation: {name: other}
cluster: {zone: a, jurisdiction: EU}
seeds: [{cluster: us-east, addresses: ["10.1.0.1:15443"], trustDomain: us.example.org, bundle: "-----BEGIN CERTIFICATE-----"}]
trustBundles: [{trustDomain: us.example.org, pem: "-----BEGIN CERTIFICATE-----"}]
podMonitor: {enabled: true, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
networkPolicy: {adminFrom: [{namespaceSelector: {matchLabels: {name: monitoring}}}]}
operator: &pods
  extraArgs: [--pprof]
  podAnnotations: {a: b}
  nodeSelector: {disk: ssd}
  tolerations: [{key: a, operator: Exists}]
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
gateway:
  <<: *pods
  expose:
    addresses: ["gw-0.example.org", "10.0.0.2:443"]
    annotations: {cloud: internal}
    loadBalancerClass: fast
    loadBalancerSourceRanges: [10.0.0.0/8]
`

// variants are the ways to install that must render.
var variants = map[string]string{
	"least":      ``,
	"everything": everything,
	"own MeshFederation": `
meshFederation: {create: false}`,
	"node ports":       `gateway: {expose: {type: NodePort}}`,
	"fixed node ports": `gateway: {expose: {type: NodePort, nodePorts: [30443, 30444]}}`,
	"host port":        `gateway: {expose: {type: HostPort}}`,
	"host port with node affinity": `
gateway: {expose: {type: HostPort}, affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}}`,
	"flat network": `gateway: {expose: {type: None}}`,
	"one of each":  `{gateway: {replicas: 1, podDisruptionBudget: {minAvailable: 0}}, operator: {replicas: 1}}`,
	"nothing optional": `
networkPolicy: {enabled: false}
hooks: {crds: false, cleanup: false}`,
}

func values(t *testing.T, texts ...string) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, text := range texts {
		var one map[string]any
		if err := yaml.Unmarshal([]byte(text), &one); err != nil {
			t.Fatal(err)
		}
		out = chartutil.CoalesceTables(one, out)
	}
	return out
}

var loaded = sync.OnceValues(func() (*chart.Chart, error) { return chart.Load(dir) })

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loaded()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var cluster = chart.Options{APIs: []string{"cert-manager.io/v1"}}

// rendered are all objects of a variant, hooks included.
func rendered(t *testing.T, texts ...string) (out []object) {
	t.Helper()
	files, err := chart.Render(load(t), values(t, append([]string{required}, texts...)...), cluster)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) == ".yaml" {
			out = append(out, decode(t, name, files[name])...)
		}
	}
	return out
}

func TestEveryVariantRendersToKnownFieldsOnly(t *testing.T) {
	for name, text := range variants {
		t.Run(name, func(t *testing.T) {
			seen := map[string]bool{}
			for _, o := range rendered(t, text) {
				id := o.GetObjectKind().GroupVersionKind().Kind + " " + o.GetNamespace() + "/" + o.GetName()
				if seen[id] {
					t.Errorf("%s is rendered twice", id)
				}
				seen[id] = true
				if o.GetLabels()["app.kubernetes.io/part-of"] != "causeway" {
					t.Errorf("%s lacks our label", id)
				}
				if ns := o.GetNamespace(); ns != "" && ns != api.SystemNamespace {
					t.Errorf("%s is in another namespace", id)
				}
			}
		})
	}
}

func TestLintFindsNothing(t *testing.T) {
	version := &chartutil.KubeVersion{Version: "v1.29.0", Major: "1", Minor: "29"}
	for name, text := range variants {
		all := values(t, required, text, `certManager: {check: false}`)
		for _, m := range lint.AllWithKubeVersion(dir, all, chart.Namespace, version).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %s", name, m)
			}
		}
	}
}

func TestPodsMeetTheRestrictedLevel(t *testing.T) {
	check, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	for name, text := range variants {
		pods := templates(rendered(t, text))
		for pod, template := range pods {
			result := policy.AggregateCheckResults(check.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec))
			// A host port is what values.yaml warns of.
			if strings.HasPrefix(name, "host port") && pod == "causeway-gateway" {
				if reason := result.ForbiddenReason(); reason != "hostPort" {
					t.Errorf("%s: %s: forbidden for %q, want hostPort alone", name, pod, reason)
				}
				continue
			}
			if !result.Allowed {
				t.Errorf("%s: %s: %s", name, pod, result.ForbiddenDetail())
			}
		}
	}
}

func TestContainersWriteNothingAndRunAsNobody(t *testing.T) {
	for pod, template := range templates(rendered(t)) {
		if c := template.Spec.SecurityContext; c.RunAsUser == nil || *c.RunAsUser != 65532 {
			t.Errorf("%s does not run as 65532", pod)
		}
		for _, c := range template.Spec.Containers {
			if s := c.SecurityContext; s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
				t.Errorf("%s: the root file system can be written to", pod)
			}
		}
	}
}

func TestSelectorsAndPortsMeetThePods(t *testing.T) {
	objects := rendered(t, `podMonitor: {enabled: true}`)
	pods := templates(objects)
	chosen := func(selector map[string]string) (out []string) {
		for name, template := range pods {
			// The StatefulSet controller adds this one.
			instance := labels.Set{"statefulset.kubernetes.io/pod-name": selector["statefulset.kubernetes.io/pod-name"]}
			if labels.SelectorFromSet(selector).Matches(labels.Merge(template.Labels, instance)) {
				out = append(out, name)
			}
		}
		return out
	}
	checked := 0
	for _, o := range objects {
		var selector map[string]string
		switch o := o.(type) {
		case *corev1.Service:
			selector = o.Spec.Selector
			if selector["statefulset.kubernetes.io/pod-name"] == o.Name {
				continue // any pod of that name
			}
		case *policyv1.PodDisruptionBudget:
			selector = o.Spec.Selector.MatchLabels
		case *networkingv1.NetworkPolicy:
			selector = o.Spec.PodSelector.MatchLabels
		case *appsv1.Deployment:
			selector = o.Spec.Selector.MatchLabels
		case *appsv1.StatefulSet:
			selector = o.Spec.Selector.MatchLabels
		case *podMonitor:
			selector = o.Spec.Selector.MatchLabels
		default:
			continue
		}
		checked++
		if got := chosen(selector); !slices.Equal(got, []string{o.GetName()}) {
			t.Errorf("%T %s selects %v", o, o.GetName(), got)
		}
	}
	if checked != 10 {
		t.Errorf("%d selectors were checked, want 10", checked)
	}
	for _, o := range objects {
		service, ok := o.(*corev1.Service)
		if !ok {
			continue
		}
		pod := pods["causeway-operator"]
		if strings.HasPrefix(service.Name, "causeway-gateway") {
			pod = pods["causeway-gateway"]
		}
		for _, port := range service.Spec.Ports {
			if !slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == port.TargetPort.String() }) {
				t.Errorf("service %s: no container port %s", service.Name, port.TargetPort.String())
			}
		}
	}
}

func TestTheMeshFederationSaysWhatTheValuesSay(t *testing.T) {
	f := find[*api.MeshFederation](t, rendered(t, everything), "other")
	if f.Spec.Federation != "demo" || f.Spec.Cluster.Zone != "a" || f.Spec.PolicyStore.TLSSecretRef.Name != "causeway-store" || f.Spec.Identity.Duration == nil {
		t.Errorf("%+v", f.Spec)
	}
	want := []api.GatewayAddress{
		{Instance: "causeway-gateway-0", Address: "gw-0.example.org:15443"}, {Instance: "causeway-gateway-1", Address: "10.0.0.2:443"},
	}
	if !slices.Equal(f.Spec.Gateway.Addresses, want) || len(f.Spec.Seeds) != 1 || len(f.Spec.TrustBundles) != 1 {
		t.Errorf("%+v", f.Spec)
	}
	for _, o := range rendered(t, variants["own MeshFederation"]) {
		if _, is := o.(*api.MeshFederation); is {
			t.Error("there is a MeshFederation with create: false")
		}
	}
}

func TestTheOperatorsRightsAreThoseOfItsMarkers(t *testing.T) {
	objects := rendered(t)
	for _, o := range decode(t, "role.yaml", readFile(t, "../../../config/rbac/role.yaml")) {
		var got, want []rbacv1.PolicyRule
		switch o := o.(type) {
		case *rbacv1.ClusterRole:
			got, want = find[*rbacv1.ClusterRole](t, objects, o.Name).Rules, o.Rules
		case *rbacv1.Role:
			got, want = find[*rbacv1.Role](t, objects, o.Name).Rules, o.Rules
		}
		if len(want) == 0 || !equal(got, want) {
			t.Errorf("%T %s: the chart grants %v, the markers %v", o, o.GetName(), got, want)
		}
	}
}
