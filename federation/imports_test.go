package federation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/causeway-mesh/causeway/"

// pkg is what `go list -json` says of a package; test imports are free.
type pkg struct {
	ImportPath string
	Imports    []string
}

// rule says who may not import what. Prefixes of import paths; for ours without
// the module path.
type rule struct {
	name string
	of   func(path string) bool
	ban  func(path string) bool
}

func under(prefixes ...string) func(string) bool {
	return func(path string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
	}
}

func not(f func(string) bool) func(string) bool { return func(p string) bool { return !f(p) } }

func both(f, g func(string) bool) func(string) bool {
	return func(p string) bool { return f(p) && g(p) }
}

func ours(path string) bool {
	return under("apis", "cmd", "config", "controllers", "e2e", "federation", "gateway")(path)
}

// rules are those of docs/architecture.md: imports point one way, and a library
// has one owner.
var rules = []rule{
	{"federation imports nothing of ours", func(p string) bool { return p == "federation" }, ours},
	{"federation/* imports neither controllers nor gateway nor cmd nor apis", under("federation"), under("controllers", "gateway", "cmd", "apis", "e2e")},
	{"gateway imports neither controllers nor Kubernetes clients", under("gateway"), under("controllers", "cmd", "apis", "e2e", "k8s.io", "sigs.k8s.io")},
	{"apis imports nothing of ours", under("apis"), ours},
	{"controllers import neither gateway nor cmd", under("controllers"), under("gateway", "cmd", "e2e")},
	{"nothing but e2e imports e2e", both(ours, not(under("e2e"))), under("e2e")},
	{"the routing core is pure", under("federation/routing", "federation/liveness", "federation/plan", "federation/rollout"), under("net", "os", "context", "sync", "math/rand", "log", "log/slog")},
	{"federation/rollout imports only federation", under("federation/rollout"), func(p string) bool { return p != "federation" && (ours(p) || strings.Contains(p, ".")) }},
	{"memberlist only in federation/gossip", not(under("federation/gossip")), under("github.com/hashicorp/memberlist")},
	{"etcd only in federation/policystore", not(under("federation/policystore")), under("go.etcd.io/etcd")},
	{"controller-runtime only in controllers and cmd", both(ours, not(under("controllers", "cmd", "apis"))), under("sigs.k8s.io/controller-runtime")},
}

// violations checks packages against the rules.
func violations(packages []pkg) []string {
	var out []string
	for _, p := range packages {
		of := strings.TrimPrefix(p.ImportPath, module)
		for _, i := range p.Imports {
			imported := strings.TrimPrefix(i, module)
			for _, r := range rules {
				if r.of(of) && r.ban(imported) {
					out = append(out, fmt.Sprintf("%s imports %s: %s", of, imported, r.name))
				}
			}
		}
	}
	return out
}

func TestImportsPointOneWay(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 20 {
		t.Fatalf("only %d packages were listed", len(packages))
	}
	for _, v := range violations(packages) {
		t.Error(v)
	}
}

// The test of the test: each rule finds a breach made for it.
func TestImportRulesFindABreach(t *testing.T) {
	for of, imported := range map[string]string{
		"federation":             "federation/routing",
		"federation/engine":      "controllers/export",
		"gateway/egress":         "k8s.io/client-go/kubernetes",
		"apis/federation":        "federation",
		"controllers/export":     "gateway/tunnel",
		"cmd/causewayctl":        "e2e/testbed",
		"federation/routing":     "net",
		"federation/liveness":    "github.com/hashicorp/memberlist",
		"federation/rollout":     "federation/routing",
		"controllers/federation": "go.etcd.io/etcd/client/v3",
		"e2e/mesh":               "sigs.k8s.io/controller-runtime/pkg/client",
	} {
		i := imported
		if ours(imported) {
			i = module + imported
		}
		if got := violations([]pkg{{ImportPath: module + of, Imports: []string{i}}}); len(got) == 0 {
			t.Errorf("%s may import %s", of, imported)
		}
	}
}
