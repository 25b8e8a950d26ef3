package testbed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/causeway-mesh/causeway/e2e/wan"
)

// startTimeout bounds the start of one cluster on a busy machine.
const startTimeout = 3 * time.Minute

// pollEvery is the time between two looks at a condition that nothing announces.
const pollEvery = 100 * time.Millisecond

// Cluster is one real control plane in a site of its own.
type Cluster struct {
	Name   string
	Config ClusterConfig
	Site   *Site

	// The processes, nil until Start.
	Etcd, APIServer, ControllerManager, CertManager *Process

	w         *World
	dir       string
	authority *Authority // of everything inside the cluster: API server, etcd, clients
	rest      *rest.Config
	client    *kubernetes.Clientset

	adminOnce sync.Once // guards the two below
	adminPath string
	adminErr  error
}

func newCluster(w *World, cfg ClusterConfig) *Cluster {
	return &Cluster{Name: cfg.Name, Config: cfg, Site: w.Site(cfg.Name), w: w, dir: filepath.Join(w.Dir, cfg.Name)}
}

// Node is the name of the one Node that the cluster's Pods run on.
func (c *Cluster) Node() string { return c.Name + "-node-1" }

// Dir is the cluster's directory for data and kubeconfigs.
func (c *Cluster) Dir() string { return c.dir }

// CACertPEM is the authority that signed the API server's certificate.
func (c *Cluster) CACertPEM() []byte { return c.authority.CertPEM }

// REST is an administrator's configuration that dials inside the site from this
// process. It is set once Start has got as far as the API server.
func (c *Cluster) REST() *rest.Config { return rest.CopyConfig(c.rest) }

// Client is an administrator's client.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

func (c *Cluster) apiURL() string {
	return "https://" + netip.AddrPortFrom(c.Site.APIServerAddr(), 6443).String()
}

// Start starts the control plane and returns when it is ready: API server ready,
// default ServiceAccount there, cert-manager's kinds served and its controllers up.
func (c *Cluster) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for _, step := range []func(context.Context) error{
		c.writePKI, c.startEtcd, c.startAPIServer, c.connect, c.expose,
		c.startControllerManager, c.createNode, c.installCertManager, c.awaitServiceAccounts,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// writePKI makes the cluster's authority and what the processes present.
func (c *Cluster) writePKI(context.Context) (err error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	if c.authority, err = NewAuthority(c.Name + "-kubernetes"); err != nil {
		return err
	}
	api := c.Site.APIServerAddr()
	local := []netip.Addr{api, netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.96.0.1")}
	pairs := map[string]Subject{
		"apiserver": {CommonName: "kube-apiserver", Addrs: local, DNSNames: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}},
		"etcd":      {CommonName: "etcd", Addrs: []netip.Addr{api}},
		"etcd-user": {CommonName: "kube-apiserver-etcd-client"},
	}
	files := map[string][]byte{"ca.crt": c.authority.CertPEM}
	for name, s := range pairs {
		pair, err := c.authority.Issue(s)
		if err != nil {
			return err
		}
		files[name+".crt"], files[name+".key"] = pair.CertPEM, pair.KeyPEM
	}
	// Any key pair will do to sign tokens with.
	sa, err := c.authority.Issue(Subject{CommonName: "service-accounts"})
	if err != nil {
		return err
	}
	files["sa.crt"], files["sa.key"] = sa.CertPEM, sa.KeyPEM
	for name, b := range files {
		if err := writePrivate(c.path(name), b); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) start(bin string, args, env []string) (*Process, error) {
	path, err := c.w.Asset(bin)
	if err != nil {
		return nil, err
	}
	return c.w.startProcess(c.Site, Command{Name: c.Name + "-" + bin, Path: path, Args: args, Env: env}, true)
}

func (c *Cluster) connect(context.Context) error {
	cfg, err := c.kubeconfig(Admin(), c.apiURL())
	if err != nil {
		return err
	}
	if c.rest, err = clientcmd.NewDefaultClientConfig(*cfg, nil).ClientConfig(); err != nil {
		return err
	}
	c.rest.Dial = c.Site.Dial
	c.rest.QPS, c.rest.Burst = 200, 400
	c.client, err = kubernetes.NewForConfig(c.rest)
	return err
}

// expose answers on the host's 127.0.0.1 for the API server.
func (c *Cluster) expose(context.Context) error {
	if l, ok := c.w.host.Listeners[c.Name]; ok {
		go proxy(l, c.Site.dialer(netip.AddrPortFrom(c.Site.APIServerAddr(), 6443).String()))
	}
	return nil
}

// createNode makes the Node: the EndpointSlice controller reads the region and zone
// of a Pod from its labels.
func (c *Cluster) createNode(ctx context.Context) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: c.Node(),
		Labels: map[string]string{
			corev1.LabelTopologyRegion: c.Config.Region, corev1.LabelTopologyZone: c.Config.Zone,
			corev1.LabelHostname: c.Node(), corev1.LabelOSStable: "linux",
		},
	}}
	node, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating the node: %w", err)
	}
	now := metav1.Now()
	node.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "ProcessCluster",
		Message: "pods are processes", LastHeartbeatTime: now, LastTransitionTime: now,
	}}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: c.Site.APIServerAddr().String()}}
	if _, err := c.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("marking the node ready: %w", err)
	}
	return nil
}

// awaitServiceAccounts waits for the controller-manager: no Pod is admitted before
// its namespace has a default ServiceAccount.
func (c *Cluster) awaitServiceAccounts(ctx context.Context) error {
	return await(ctx, "the default service account", []*Process{c.ControllerManager}, func(ctx context.Context) error {
		_, err := c.client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// readyz asks the API server itself, so that no client caches a refusal.
func (c *Cluster) readyz(ctx context.Context, client *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.apiURL()+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, logTail))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answered %d: %s", resp.StatusCode, body)
	}
	return nil
}

func (c *Cluster) httpClient(pair KeyPair) (*http.Client, func(), error) {
	cert, err := tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.authority.CertPEM)
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return c.Site.Dial(ctx, network, addr)
		},
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13},
	}
	return &http.Client{Transport: t, Timeout: 5 * time.Second}, t.CloseIdleConnections, nil
}

// Isolate cuts the cluster off from every other site, or joins it again.
func (c *Cluster) Isolate(cut bool) error { return c.w.WAN.Isolate(wan.Site(c.Name), cut) }
