package mesh

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/causeway-mesh/causeway/config"
	"github.com/causeway-mesh/causeway/e2e/testbed"
)

const (
	// Namespace is where Causeway runs.
	Namespace = "causeway-system"
	// TrustDomain and Federation are those of config/samples.
	TrustDomain = "mesh.example.org"
	Federation  = "demo"
	// Replicas of operator and gateway in each cluster.
	Replicas = 2
	// StorePort is the policy store's.
	StorePort = 2379
)

// Mesh is Causeway installed in a world.
type Mesh struct {
	World     *testbed.World
	Store     *testbed.Process // nil when the store is the user's
	Operators map[string][]*testbed.Pod
	Gateways  map[string][]*testbed.Pod
	// UserStore, when set before Install, is used instead of a store of ours.
	UserStore *UserStore
	// Step is called as each step begins, for whoever watches.
	Step func(format string, args ...any)

	root, storeCA *testbed.Authority
	bin           string
	mounts        errgroup.Group
	mu            sync.Mutex // clusters are installed at the same time
}

func (m *Mesh) set(pods map[string][]*testbed.Pod, cluster string, p *testbed.Pod) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pods[cluster] = append(pods[cluster], p)
}

// New prepares an installation; bin is the directory of Causeway's own binaries.
func New(w *testbed.World, bin string) (*Mesh, error) {
	m := &Mesh{
		World: w, bin: bin, Operators: map[string][]*testbed.Pod{}, Gateways: map[string][]*testbed.Pod{},
		Step: func(string, ...any) {},
	}
	var err error
	if m.root, err = testbed.NewAuthority("demo federation root"); err != nil {
		return nil, err
	}
	m.storeCA, err = testbed.NewAuthority("policy store CA")
	return m, err
}

// Install brings everything up to Ready MeshFederations. mounts live until ctx
// ends, so give it the world's context, and bound the waits with another.
func (m *Mesh) Install(ctx, bounded context.Context) error {
	if err := m.openStore(bounded); err != nil {
		return err
	}
	m.Step("installing Causeway: CRDs, RBAC, issuer, two operators and two gateways in each cluster")
	if err := m.each(func(c *testbed.Cluster) error { return m.installCluster(ctx, bounded, c) }); err != nil {
		return err
	}
	m.Step("kubectl apply -f config/samples/meshfederation-*.yaml")
	return m.each(func(c *testbed.Cluster) error {
		if err := m.join(bounded, c); err != nil {
			return err
		}
		return m.Await(bounded, c, "meshfederation/demo", "Ready")
	})
}

// openStore starts a policy store, or makes the user's own reachable.
func (m *Mesh) openStore(ctx context.Context) error {
	if m.UserStore != nil {
		return m.reachUserStore()
	}
	m.Step("policy store: causeway-operator store, mTLS under a CA of its own")
	return m.StartStore(ctx)
}

// join applies the cluster's MeshFederation.
func (m *Mesh) join(ctx context.Context, c *testbed.Cluster) error {
	name := "meshfederation-" + c.Name + ".yaml"
	if m.UserStore == nil {
		return m.ApplySample(ctx, c, name)
	}
	sample, err := fs.ReadFile(config.Files, "samples/"+name)
	if err != nil {
		return err
	}
	patch, err := m.UserStore.endpointsPatch()
	if err != nil {
		return err
	}
	manifest, err := c.Kubectl(ctx, bytes.NewReader(sample), "patch", "--local", "-f", "-", "--type=merge", "-p", patch, "-o", "yaml")
	if err != nil {
		return err
	}
	return c.Apply(ctx, manifest)
}

// each runs f for all clusters at the same time.
func (m *Mesh) each(f func(*testbed.Cluster) error) error {
	var group errgroup.Group
	for _, c := range m.World.Clusters {
		group.Go(func() error {
			if err := f(c); err != nil {
				return fmt.Errorf("cluster %s: %w", c.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// ApplySample is `kubectl apply -f config/samples/<name>`.
func (m *Mesh) ApplySample(ctx context.Context, c *testbed.Cluster, name string) error {
	data, err := fs.ReadFile(config.Files, "samples/"+name)
	if err != nil {
		return err
	}
	return c.Apply(ctx, string(data))
}

// Await is `kubectl wait`, quoting the object when it does not come true. It needs all
// of Causeway's processes, and ends when one of them does.
func (m *Mesh) Await(ctx context.Context, c *testbed.Cluster, object, condition string, args ...string) error {
	ctx, cancel := testbed.WhileRunning(ctx, m.Processes())
	defer cancel()
	limit := "120s"
	all := append([]string{"wait", object, "--for=condition=" + condition, "--timeout=" + limit}, args...)
	if _, err := c.Kubectl(ctx, nil, all...); err != nil {
		if ended := context.Cause(ctx); ended != nil {
			return fmt.Errorf("waiting for %s to become %s: %w", object, condition, ended)
		}
		get := append([]string{"get", object, "-o", "yaml"}, args...)
		state, _ := c.Kubectl(context.WithoutCancel(ctx), nil, get...)
		return fmt.Errorf("%s did not become %s: %w\n%s", object, condition, err, state)
	}
	return nil
}

// StartStore starts the policy store on the data that an earlier one has left, and waits
// until it takes connections.
func (m *Mesh) StartStore(ctx context.Context) error {
	addr := m.World.Store.Addr(0, 1)
	pair, err := m.storeCA.Issue(testbed.Subject{CommonName: "policy-store", DNSNames: []string{"policy-store"}, Addrs: addrs(addr)})
	if err != nil {
		return err
	}
	dir := filepath.Join(m.World.Dir, "store")
	files := map[string][]byte{"tls.crt": pair.CertPEM, "tls.key": pair.KeyPEM, "ca.crt": m.storeCA.CertPEM}
	if err := writeFiles(dir, files); err != nil {
		return err
	}
	m.Store, err = m.World.StartProcess(m.World.Store, testbed.Command{
		Name: "policy-store", Path: filepath.Join(m.bin, "causeway-operator"),
		Args: []string{
			"store", "--data-dir", filepath.Join(dir, "data"), "--listen", fmt.Sprintf("%s:%d", addr, StorePort),
			"--cert-file", filepath.Join(dir, "tls.crt"), "--key-file", filepath.Join(dir, "tls.key"), "--client-ca-file", filepath.Join(dir, "ca.crt"),
		},
	})
	if err != nil {
		return err
	}
	return dialable(ctx, m.World.Store, fmt.Sprintf("%s:%d", addr, StorePort), m.Store)
}

func (m *Mesh) installCluster(ctx, bounded context.Context, c *testbed.Cluster) error {
	crds, err := manifests("crd")
	if err != nil {
		return err
	}
	if err := c.InstallCRDs(bounded, []byte(crds)); err != nil {
		return err
	}
	rbac, err := manifests("rbac")
	if err != nil {
		return err
	}
	if err := c.Apply(bounded, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+Namespace+"}\n---\n"+rbac); err != nil {
		return err
	}
	if err := m.secrets(bounded, c); err != nil {
		return err
	}
	if err := m.ApplySample(bounded, c, "issuer.yaml"); err != nil {
		return err
	}
	for n := 1; n <= Replicas; n++ {
		if err := m.StartOperator(bounded, c, n); err != nil {
			return err
		}
		if err := m.startGateway(ctx, bounded, c, n); err != nil {
			return err
		}
	}
	return nil
}

// secrets are the two that a person brings: the cluster's intermediate, and its
// client certificate at the policy store.
func (m *Mesh) secrets(ctx context.Context, c *testbed.Cluster) error {
	ca, err := m.root.Intermediate(c.Name + " intermediate")
	if err != nil {
		return err
	}
	store, err := m.storeSecret(c)
	if err != nil {
		return err
	}
	chain := slices.Concat(ca.CertPEM, m.root.CertPEM)
	return c.Apply(ctx, secret("causeway-ca", map[string][]byte{"tls.crt": chain, "tls.key": ca.KeyPEM})+"---\n"+secret("causeway-store", store))
}

func (m *Mesh) storeSecret(c *testbed.Cluster) (map[string][]byte, error) {
	if u := m.UserStore; u != nil {
		return map[string][]byte{"ca.crt": u.CA, "tls.crt": u.Cert, "tls.key": u.Key}, nil
	}
	client, err := m.storeCA.Issue(testbed.Subject{CommonName: c.Name})
	return map[string][]byte{"ca.crt": m.storeCA.CertPEM, "tls.crt": client.CertPEM, "tls.key": client.KeyPEM}, err
}

func secret(name string, data map[string][]byte) string {
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\nstringData:\n", name, Namespace)
	for key, value := range data {
		fmt.Fprintf(&b, "  %s: |\n    %s\n", key, strings.ReplaceAll(strings.TrimSpace(string(value)), "\n", "\n    "))
	}
	return b.String()
}

// manifests joins the YAML files of one directory of config/, sub-directories
// included.
func manifests(dir string) (string, error) {
	var parts []string
	err := fs.WalkDir(config.Files, dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" || entry.Name() == "kustomization.yaml" {
			return err
		}
		data, err := fs.ReadFile(config.Files, path)
		parts = append(parts, string(data))
		return err
	})
	return strings.Join(parts, "\n---\n"), err
}

func writeFiles(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
