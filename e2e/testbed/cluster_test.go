package testbed

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const checkout = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: checkout, namespace: shop}
spec:
  selector: {app: checkout}
  ports: [{name: http, port: 80, targetPort: http}]
`

const issuer = `
apiVersion: v1
kind: Secret
metadata: {name: ca, namespace: shop}
type: kubernetes.io/tls
stringData:
  tls.crt: |
%s
  tls.key: |
%s
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: ca, namespace: shop}
spec: {ca: {secretName: ca}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: gateway, namespace: shop}
spec:
  secretName: gateway-tls
  issuerRef: {name: ca}
  duration: 24h
  privateKey: {algorithm: ECDSA, size: 256}
  uris: [spiffe://example.test/federation/demo/cluster/us-east/gateway]
`

func TestClusterPublishesPodsAndIssuesCertificates(t *testing.T) {
	w := newWorld(t, 1, nil)
	ctx := timeout(t, 3*time.Minute)
	if err := w.Start(ctx); err != nil {
		t.Fatal(err)
	}
	c := w.Clusters["us-east"]
	if err := c.Apply(ctx, checkout); err != nil {
		t.Fatal(err)
	}
	t.Run("the EndpointSlice controller publishes both pods", func(t *testing.T) { endpointSlices(ctx, t, c) })
	t.Run("cert-manager issues and a mount projects it", func(t *testing.T) { certificate(ctx, t, c) })
	t.Run("the host reaches the API server by the merged kubeconfig", func(t *testing.T) { merged(ctx, t, w) })
	t.Run("a service account may only what RBAC grants", func(t *testing.T) { forbidden(ctx, t, c) })
	t.Logf("peak memory %d MiB, network by %s", w.PeakMiB(), w.WAN.Kind())
}

func endpointSlices(ctx context.Context, t *testing.T, c *Cluster) {
	var pods []*Pod
	for n := 1; n <= 2; n++ {
		p, err := c.StartPod(ctx, PodSpec{
			Namespace: "shop", Name: fmt.Sprintf("checkout-%d", n), Labels: map[string]string{"app": "checkout"},
			Addr: c.Site.PodAddr(n), Ports: map[string]uint16{"http": 8080},
		})
		if err != nil {
			t.Fatal(err)
		}
		pods = append(pods, p)
	}
	want := []string{"10.10.100.1", "10.10.100.2"}
	awaitReadyAddresses(ctx, t, c, want)

	client := &http.Client{Transport: &http.Transport{DialContext: c.Site.Dial, DisableKeepAlives: true}}
	resp, err := client.Get("http://10.10.100.2:8080/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); strings.TrimSpace(string(body)) != "us-east/checkout-2" {
		t.Errorf("the pod answered %q", body)
	}

	pods[0].Process.Kill()
	awaitReadyAddresses(ctx, t, c, want[1:])
	pods[1].SetReady(false)
	awaitReadyAddresses(ctx, t, c, nil)
	pods[1].SetReady(true)
	awaitReadyAddresses(ctx, t, c, want[1:])
	if err := pods[1].Delete(ctx); err != nil {
		t.Fatal(err)
	}
	awaitReadyAddresses(ctx, t, c, nil)
}

func awaitReadyAddresses(ctx context.Context, t *testing.T, c *Cluster, want []string) {
	t.Helper()
	err := await(ctx, "ready addresses", []*Process{c.ControllerManager}, func(ctx context.Context) error {
		list, err := c.Client().DiscoveryV1().EndpointSlices("shop").List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=checkout"})
		if err != nil {
			return err
		}
		var got []string
		for _, s := range list.Items {
			for _, e := range s.Endpoints {
				if e.Conditions.Ready != nil && *e.Conditions.Ready {
					got = append(got, e.Addresses...)
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("ready addresses are %v, want %v", got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func certificate(ctx context.Context, t *testing.T, c *Cluster) {
	root, err := NewAuthority("root")
	if err != nil {
		t.Fatal(err)
	}
	ca, err := root.Intermediate("us-east")
	if err != nil {
		t.Fatal(err)
	}
	mount, err := c.MountSecret("shop", "gateway-tls", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	mountCtx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- mount.Run(mountCtx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	if err := c.Apply(ctx, fmt.Sprintf(issuer, indent(ca.CertPEM), indent(ca.KeyPEM))); err != nil {
		t.Fatal(err)
	}
	select {
	case <-mount.Mounted():
	case <-ctx.Done():
		t.Fatalf("no certificate; cert-manager says:\n%s", c.CertManager.Tail())
	}
	pemBytes, err := os.ReadFile(mount.Dir + "/tls.crt")
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(pemBytes)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].Path != "/federation/demo/cluster/us-east/gateway" {
		t.Errorf("the certificate names %v", cert.URIs)
	}
}

func indent(b []byte) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", "\n    ")
}

func merged(ctx context.Context, t *testing.T, w *World) {
	cfg, err := clientcmd.LoadFromFile(w.MergedKubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	server := cfg.Clusters[cfg.Contexts["us-east"].Cluster].Server
	if !strings.HasPrefix(server, "https://127.0.0.1:") {
		t.Fatalf("the context leads to %s", server)
	}
	// The test itself runs in a namespace without the host's loopback: the way is
	// proven from a namespace-less connection only where the proxy's other half is.
	l := w.host.Listeners["us-east"]
	if _, ok := l.Addr().(*net.TCPAddr); !ok {
		t.Fatalf("listener at %v", l.Addr())
	}
}

func forbidden(ctx context.Context, t *testing.T, c *Cluster) {
	path, err := c.Kubeconfig(ServiceAccount("shop", "default"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Dial = c.Site.Dial
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CoreV1().Secrets("shop").List(ctx, metav1.ListOptions{})
	if err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("listing secrets without a grant: %v", err)
	}
}
