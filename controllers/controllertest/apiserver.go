package controllertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kuberuntime "k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	mcs "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
)

// CRDs that an API server may be started with, by file or folder.
const (
	Causeway    = "config/crd"
	MCS         = "crds/mcs-api.yaml"
	CertManager = "crds/cert-manager.yaml"
)

// patience is for busy machines: what it bounds takes seconds elsewhere.
const patience = 2 * time.Minute

// APIServer is a real one with its etcd.
type APIServer struct {
	Config *rest.Config
	// Client reads and writes past any cache.
	Client client.Client
	env    *envtest.Environment
}

// Start starts an API server with the given CRDs; none means all of them. The
// caller calls Stop.
func Start(crds ...string) (*APIServer, error) {
	if len(crds) == 0 {
		crds = []string{Causeway, MCS, CertManager}
	}
	dir, err := assets("kube-apiserver", "etcd")
	if err != nil {
		return nil, err
	}
	paths, err := find(crds)
	if err != nil {
		return nil, err
	}
	s := &APIServer{env: &envtest.Environment{
		CRDDirectoryPaths: paths, ErrorIfCRDPathMissing: true, CRDInstallOptions: envtest.CRDInstallOptions{MaxTime: patience},
		BinaryAssetsDirectory: dir, ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience,
	}}
	if s.Config, err = s.env.Start(); err != nil {
		return nil, fmt.Errorf("starting the API server: %w", err)
	}
	if s.Client, err = s.NewClient(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// NewClient is one that has not yet asked the API server for its kinds.
func (s *APIServer) NewClient() (client.Client, error) {
	return client.New(s.Config, client.Options{Scheme: Scheme()})
}

// Install adds CRDs to a running API server.
func (s *APIServer) Install(crds ...string) error {
	paths, err := find(crds)
	if err != nil {
		return err
	}
	_, err = envtest.InstallCRDs(s.Config, envtest.CRDInstallOptions{Paths: paths, ErrorIfPathMissing: true, MaxTime: patience})
	return err
}

// Uninstall takes CRDs away, with every object of their kinds.
func (s *APIServer) Uninstall(crds ...string) error {
	paths, err := find(crds)
	if err != nil {
		return err
	}
	options := envtest.CRDInstallOptions{Paths: paths, ErrorIfPathMissing: true}
	if err := envtest.ReadCRDFiles(&options); err != nil {
		return err
	}
	return envtest.UninstallCRDs(s.Config, options)
}

// Stop ends API server and etcd.
func (s *APIServer) Stop() error { return s.env.Stop() }

// Run is a TestMain's: it starts an API server with every CRD, sets kube to its
// client, runs the tests, and returns the exit code.
func Run(m *testing.M, kube *client.Client) int {
	s, err := Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = s.Stop() }()
	*kube = s.Client
	return m.Run()
}

// Scheme knows the kinds that the controllers touch.
func Scheme() *kuberuntime.Scheme {
	s := kuberuntime.NewScheme()
	for _, add := range []func(*kuberuntime.Scheme) error{clientgoscheme.AddToScheme, api.AddToScheme, mcs.AddToScheme, certmanager.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // two types of one kind: a fault of the build
		}
	}
	return s
}

// Namespace makes one of its own for a test; its name begins with prefix.
func Namespace(t testing.TB, kube client.Client, prefix string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}
	if err := kube.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

// Create creates o, without its status.
func Create(t testing.TB, kube client.Client, o client.Object) {
	t.Helper()
	if err := kube.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// CreateWithStatus creates o as some controller that does not run has left it.
func CreateWithStatus(t testing.TB, kube client.Client, o client.Object) {
	t.Helper()
	status := o.DeepCopyObject().(client.Object) //nolint:errcheck // the same type
	if err := kube.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	status.SetResourceVersion(o.GetResourceVersion())
	if err := kube.Status().Update(t.Context(), status); err != nil {
		t.Fatal(err)
	}
}

// Exists says whether o is there, and reads it.
func Exists(t testing.TB, kube client.Client, o client.Object) bool {
	t.Helper()
	err := kube.Get(t.Context(), client.ObjectKeyFromObject(o), o)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return err == nil
}

// Delete deletes o; a finalizer may keep it.
func Delete(t testing.TB, kube client.Client, o client.Object) {
	t.Helper()
	if err := kube.Delete(t.Context(), o); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
}

// root of the repository, from this file's place in it.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// assets is the folder of built parts: KUBEBUILDER_ASSETS or bin/.
func assets(names ...string) (string, error) {
	dir := os.Getenv("KUBEBUILDER_ASSETS")
	if dir == "" {
		dir = filepath.Join(root(), "bin")
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("%w: run `make assets` first", err)
		}
	}
	return dir, nil
}

// find looks for CRDs in the repository, then among the built parts.
func find(crds []string) ([]string, error) {
	var out []string
	for _, one := range crds {
		path := filepath.Join(root(), one)
		if one != Causeway {
			path = filepath.Join(root(), "bin", one)
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w: run `make assets` first", err)
		}
		out = append(out, path)
	}
	return out, nil
}
