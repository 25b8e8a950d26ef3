package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"
)

// smallHeap keeps Go's collector busy rather than the machine's memory: three control
// planes share one machine with everything else.
func smallHeap() []string { return []string{"GOGC=50"} }

func (c *Cluster) startEtcd(ctx context.Context) (err error) {
	client := "https://" + netip.AddrPortFrom(c.Site.APIServerAddr(), 2379).String()
	peer := "https://" + netip.AddrPortFrom(c.Site.APIServerAddr(), 2380).String()
	c.Etcd, err = c.start(binEtcd, []string{
		"--name=" + c.Name, "--data-dir=" + c.path("etcd"), "--log-level=warn",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + c.Name + "=" + peer,
		"--cert-file=" + c.path("etcd.crt"), "--key-file=" + c.path("etcd.key"),
		"--trusted-ca-file=" + c.path("ca.crt"), "--client-cert-auth",
		"--peer-cert-file=" + c.path("etcd.crt"), "--peer-key-file=" + c.path("etcd.key"),
		"--peer-trusted-ca-file=" + c.path("ca.crt"), "--peer-client-cert-auth",
		"--unsafe-no-fsync", // the data is thrown away with the test
		"--snapshot-count=5000", "--quota-backend-bytes=268435456",
	}, smallHeap())
	return err
}

func (c *Cluster) startAPIServer(ctx context.Context) (err error) {
	c.APIServer, err = c.start(binAPIServer, []string{
		"--bind-address=" + c.Site.APIServerAddr().String(), "--advertise-address=" + c.Site.APIServerAddr().String(), "--secure-port=6443",
		"--tls-cert-file=" + c.path("apiserver.crt"), "--tls-private-key-file=" + c.path("apiserver.key"),
		"--client-ca-file=" + c.path("ca.crt"), "--authorization-mode=RBAC", "--anonymous-auth=false",
		"--etcd-servers=https://" + netip.AddrPortFrom(c.Site.APIServerAddr(), 2379).String(),
		"--etcd-cafile=" + c.path("ca.crt"), "--etcd-certfile=" + c.path("etcd-user.crt"), "--etcd-keyfile=" + c.path("etcd-user.key"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file=" + c.path("sa.crt"), "--service-account-signing-key-file=" + c.path("sa.key"),
		"--service-cluster-ip-range=10.96.0.0/16", "--cert-dir=" + c.path("apiserver"),
		"--profiling=false", "--event-ttl=1h", "--default-watch-cache-size=50",
	}, smallHeap())
	if err != nil {
		return err
	}
	pair, err := c.authority.Issue(Subject{CommonName: "admin", Organizations: Admin().Groups})
	if err != nil {
		return err
	}
	client, done, err := c.httpClient(pair)
	if err != nil {
		return err
	}
	defer done()
	return await(ctx, "the API server", []*Process{c.Etcd, c.APIServer}, func(ctx context.Context) error { return c.readyz(ctx, client) })
}

// controllers that the clusters' objects need; everything that would act for a
// kubelet or a cloud is left out.
func controllers() []string {
	return []string{
		"endpointslice-controller", "endpointslice-mirroring-controller", "endpoints-controller",
		"namespace-controller", "garbage-collector-controller", "serviceaccount-controller",
		"serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
		"clusterrole-aggregation-controller",
	}
}

func (c *Cluster) startControllerManager(context.Context) error {
	kubeconfig, err := c.Kubeconfig(Identity{User: "system:kube-controller-manager", Groups: Admin().Groups})
	if err != nil {
		return err
	}
	c.ControllerManager, err = c.start(binControllerManager, []string{
		"--kubeconfig=" + kubeconfig, "--controllers=" + strings.Join(controllers(), ","),
		"--leader-elect=false", "--secure-port=0", "--profiling=false",
		"--service-account-private-key-file=" + c.path("sa.key"), "--root-ca-file=" + c.path("ca.crt"),
		"--concurrent-gc-syncs=2", "--kube-api-qps=100", "--kube-api-burst=200",
		// One second by default; what a person waits for in the demo.
		"--endpointslice-updates-batch-period=0s",
	}, smallHeap())
	return err
}

func (c *Cluster) installCertManager(ctx context.Context) error {
	path, err := c.w.Asset(crdsCertManager)
	if err != nil {
		return err
	}
	crds, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := c.InstallCRDs(ctx, crds); err != nil {
		return fmt.Errorf("installing cert-manager's kinds: %w", err)
	}
	kubeconfig, err := c.Kubeconfig(Identity{User: "cert-manager", Groups: Admin().Groups})
	if err != nil {
		return err
	}
	c.CertManager, err = c.start(binCertManager, []string{
		"--kubeconfig=" + kubeconfig, "--namespace=cert-manager",
	}, smallHeap())
	return err
}

// await looks at a condition until it holds, ctx ends, or a process it depends on has
// ended: then the error has the end of that process's log.
func await(ctx context.Context, what string, needs []*Process, cond func(context.Context) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := cond(ctx)
		if err == nil {
			return nil
		}
		for _, p := range needs {
			if dead := p.Err(); dead != nil {
				return fmt.Errorf("waiting for %s: %w", what, dead)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tails := ""
			for _, p := range needs {
				tails += fmt.Sprintf("\nthe end of %s:\n%s", p.Log, p.Tail())
			}
			return fmt.Errorf("waiting for %s: %w (last: %w)%s", what, ctx.Err(), err, tails)
		}
	}
}
