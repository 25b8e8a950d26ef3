package chart_test

import (
	"strings"
	"testing"

	"github.com/causeway-mesh/causeway/hack/packaging/chart"
)

// Each fault, and the words by which a person sees what to do.
var faults = map[string]struct{ values, want string }{
	"no federation":          {`federation: {name: ""}`, "federation.name is missing: set"},
	"no cluster name":        {`cluster: {name: ""}`, "cluster.name is missing: set"},
	"no region":              {`cluster: {region: ""}`, "cluster.region is missing: set"},
	"no trust domain":        {`trustDomain: ""`, "trustDomain is missing: set"},
	"no issuer":              {`issuerRef: {name: ""}`, "issuerRef.name is missing: name"},
	"no store":               {`policyStore: {endpoints: []}`, "policyStore.endpoints is empty: give"},
	"no store secret":        {`policyStore: {secretName: ""}`, "policyStore.secretName is missing: name"},
	"plain http store":       {`policyStore: {endpoints: ["http://a:2379"]}`, "plain http is refused"},
	"store without a port":   {`policyStore: {endpoints: ["https://a"]}`, "write https://host:port"},
	"itself as a seed":       {`seeds: [{cluster: eu-west, addresses: [a]}]`, "seeds names this cluster itself"},
	"no operator":            {`operator: {replicas: 0}`, "operator.replicas is 0: set 1 or more"},
	"no gateway":             {`gateway: {replicas: 0}`, "gateway.replicas is 0: set 1 to 16"},
	"too many gateways":      {`gateway: {replicas: 17}`, "gateway.replicas is 17: set 1 to 16"},
	"too few node ports":     {`gateway: {expose: {type: NodePort, nodePorts: [30443]}}`, "has 1 ports for 2 replicas"},
	"a node port twice":      {`gateway: {expose: {type: NodePort, nodePorts: [30443, 30443]}}`, "names a port twice"},
	"node ports unused":      {`gateway: {expose: {nodePorts: [30443, 30444]}}`, "set the type to NodePort"},
	"load balancer unused":   {`gateway: {expose: {type: None, loadBalancerClass: fast}}`, "set the type to LoadBalancer"},
	"host ports together":    {`gateway: {expose: {type: HostPort}, affinity: {podAntiAffinity: {}}}`, "podAntiAffinity cannot be set"},
	"too few addresses":      {`gateway: {expose: {addresses: [a]}}`, "has 1 addresses for 2 replicas"},
	"too many addresses":     {`gateway: {expose: {addresses: [a, b, c]}}`, "has 3 addresses for 2 replicas"},
	"an address with paths":  {`gateway: {expose: {addresses: [a, "https://b"]}}`, `"https://b" is no address`},
	"an address twice":       {`gateway: {expose: {addresses: [a, a]}}`, "names an address twice"},
	"an address's bad port":  {`gateway: {expose: {addresses: [a, "b:65536"]}}`, `"b:65536" has no port that exists`},
	"a store's bad port":     {`policyStore: {endpoints: ["https://a:0"]}`, `"https://a:0" has no port that exists`},
	"an unknown issuer kind": {`issuerRef: {kind: Vault}`, "issuerRef.kind is Vault: cert-manager.io has Issuer and ClusterIssuer"},
	"addresses unused":       {`{meshFederation: {create: false}, gateway: {expose: {addresses: [a, b]}}}`, "your MeshFederation's spec.gateway.addresses"},
	"our labels rewritten":   {`commonLabels: {app.kubernetes.io/name: x}`, "commonLabels names app.kubernetes.io/name"},
	// The schema's words.
	"an unknown exposure": {`gateway: {expose: {type: Ingress}}`, "/gateway/expose/type"},
	"a misspelt key":      {`gateway: {expose: {nodePort: 30443}}`, "nodePort"},
	"a bad cluster name":  {`cluster: {name: EU_West}`, "/cluster/name"},
	"a section left out":  {`gateway: {expose: null}`, "missing property 'expose'"},
	"a port too high":     {`gateway: {expose: {port: 65536}}`, "/gateway/expose/port"},
}

func TestValuesThatCannotWorkAreRefusedInWords(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			_, err := chart.Render(load(t), values(t, required, fault.values), cluster)
			if err == nil || !strings.Contains(err.Error(), fault.want) {
				t.Errorf("got %v, want %q", err, fault.want)
			}
		})
	}
}

func TestMissingCertManagerSaysHowToInstallIt(t *testing.T) {
	c := load(t)
	_, err := chart.Render(c, values(t, required), chart.Options{})
	if err == nil || !strings.Contains(err.Error(), "cert-manager is missing") || !strings.Contains(err.Error(), "https://cert-manager.io/docs/installation") {
		t.Errorf("got %v", err)
	}
	if _, err := chart.Render(c, values(t, required, `certManager: {check: false}`), chart.Options{}); err != nil {
		t.Errorf("with the check off: %v", err)
	}
}

func TestOtherNamespacesAreRefused(t *testing.T) {
	_, err := chart.Render(load(t), values(t, required), chart.Options{Namespace: "default", APIs: cluster.APIs})
	if err == nil || !strings.Contains(err.Error(), "--namespace causeway-system --create-namespace") {
		t.Errorf("got %v", err)
	}
}

func TestAllFaultsAreNamedAtOnce(t *testing.T) {
	_, err := chart.Render(load(t), values(t, `gateway: {replicas: 0}`), chart.Options{Namespace: "default"})
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"namespace", "cert-manager", "gateway.replicas", "federation.name", "cluster.name", "cluster.region", "trustDomain", "issuerRef.name", "policyStore.endpoints"} {
		if !strings.Contains(err.Error(), "- "+want) && !strings.Contains(err.Error(), "- the "+want) {
			t.Errorf("%s is not named in: %v", want, err)
		}
	}
}

// Without a MeshFederation its values are nobody's business.
func TestOwnMeshFederationNeedsNoValues(t *testing.T) {
	if _, err := chart.Render(load(t), values(t, variants["own MeshFederation"]), cluster); err != nil {
		t.Error(err)
	}
}

func TestOldKubernetesIsRefused(t *testing.T) {
	constraint := load(t).Metadata.KubeVersion
	if constraint != ">=1.29.0-0" {
		t.Errorf("kubeVersion %q: validation of CRDs by CEL is stable from 1.29 on", constraint)
	}
}
