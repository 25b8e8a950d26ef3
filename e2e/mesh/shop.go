package mesh

import (
	"context"
	"fmt"
	"slices"

	"github.com/causeway-mesh/causeway/e2e/testbed"
)

// StartShop starts two ready pods of shop/checkout in each of the named clusters.
func (m *Mesh) StartShop(ctx context.Context, clusters ...string) error {
	for _, name := range clusters {
		c := m.World.Clusters[name]
		for n := 1; n <= 2; n++ {
			pod, err := c.StartPod(ctx, testbed.PodSpec{
				Namespace: "shop", Name: fmt.Sprintf("checkout-%d", n), Labels: map[string]string{"app": "checkout"},
				Addr: c.Site.PodAddr(n), Ports: map[string]uint16{"http": 8080},
			})
			if err != nil {
				return err
			}
			if err := pod.AwaitReady(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Processes are Causeway's own, by name.
func (m *Mesh) Processes() []*testbed.Process {
	var out []*testbed.Process
	for _, pods := range []map[string][]*testbed.Pod{m.Operators, m.Gateways} {
		for _, list := range pods {
			for _, p := range list {
				out = append(out, p.Process)
			}
		}
	}
	if m.Store != nil {
		out = append(out, m.Store)
	}
	slices.SortFunc(out, func(a, b *testbed.Process) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return out
}
