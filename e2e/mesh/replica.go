package mesh

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/causeway-mesh/causeway/e2e/testbed"
)

const (
	feedPort    = 15010
	gossipPort  = 15011
	gatewayPort = 15443
	adminPort   = 8080
)

func addrs(a ...netip.Addr) []netip.Addr { return a }

func at(a netip.Addr, port int) string { return netip.AddrPortFrom(a, uint16(port)).String() }

func labels(app string) map[string]string {
	return map[string]string{"app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "causeway"}
}

// StartOperator starts a cluster's n-th operator, from 1, whose Pod must not exist; it
// takes the place of one that has ended.
func (m *Mesh) StartOperator(ctx context.Context, c *testbed.Cluster, n int) error {
	kubeconfig, err := c.Kubeconfig(testbed.ServiceAccount(Namespace, "causeway-operator"))
	if err != nil {
		return err
	}
	name, addr := fmt.Sprintf("causeway-operator-%d", n), c.Site.OperatorAddr(n)
	pod, err := c.StartPodProcess(ctx, testbed.PodSpec{
		Namespace: Namespace, Name: name, Labels: labels("causeway-operator"), Addr: addr,
		Ports: map[string]uint16{"admin": adminPort, "feed": feedPort, "gossip": gossipPort},
		Ready: accepts(c.Site, at(addr, adminPort)),
	}, testbed.Command{
		Name: c.Name + "-operator-" + fmt.Sprint(n), Path: filepath.Join(m.bin, "causeway-operator"),
		Args: []string{
			"--replica", name, "--namespace", Namespace, "--pod-ip", addr.String(), "--kubeconfig", kubeconfig,
			"--feed-address", at(addr, feedPort), "--gossip-address", at(addr, gossipPort), "--admin-address", at(addr, adminPort),
		},
		Env: []string{"GOMAXPROCS=2"},
	})
	if err != nil {
		return err
	}
	m.set(m.Operators, c.Name, pod)
	return nil
}

func (m *Mesh) startGateway(ctx, bounded context.Context, c *testbed.Cluster, n int) error {
	name, addr := fmt.Sprintf("causeway-gateway-%d", n), c.Site.GatewayAddr(n)
	dir := filepath.Join(c.Dir(), name, "identity")
	mount, err := c.MountSecret(Namespace, "causeway-gateway", dir)
	if err != nil {
		return err
	}
	m.mounts.Go(func() error { return mount.Run(ctx) })
	var operators []string
	for i := 1; i <= Replicas; i++ {
		operators = append(operators, at(c.Site.OperatorAddr(i), feedPort))
	}
	pod, err := c.StartPodProcess(bounded, testbed.PodSpec{
		Namespace: Namespace, Name: name, Labels: labels("causeway-gateway"), Addr: addr,
		Ports: map[string]uint16{"gateway": gatewayPort, "admin": adminPort},
		Ready: accepts(c.Site, at(addr, gatewayPort)),
	}, testbed.Command{
		Name: c.Name + "-gateway-" + fmt.Sprint(n), Path: filepath.Join(m.bin, "causeway-gateway"),
		Args: []string{
			"--instance", name, "--cluster", c.Name, "--federation", Federation, "--identity-dir", dir,
			"--listen", at(addr, gatewayPort), "--advertise", at(addr, gatewayPort), "--local-address", addr.String(),
			"--admin-address", at(addr, adminPort), "--operators", strings.Join(operators, ","),
		},
	})
	if err != nil {
		return err
	}
	m.set(m.Gateways, c.Name, pod)
	return nil
}

// accepts is a readiness probe: something listens.
func accepts(site *testbed.Site, addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		conn, err := site.Dial(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// dialable waits until addr accepts connections, or the process that should has ended.
func dialable(ctx context.Context, site *testbed.Site, addr string, p *testbed.Process) error {
	probe := accepts(site, addr)
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Done():
			return fmt.Errorf("waiting for %s: %w", p.Name, p.Err())
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s at %s: %w (last: %w)", p.Name, addr, ctx.Err(), err)
		case <-ticker.C:
		}
	}
}
