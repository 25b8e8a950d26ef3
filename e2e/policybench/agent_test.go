//go:build bench

package policybench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// agent is a cluster that follows the store and keeps a table, as the engine does: a
// change waits for those that come with it, and then the table is computed.
type agent struct {
	*observer
	store  *policystore.Store
	settle *atomic.Int64 // nanoseconds; one for all agents
	dirty  chan struct{} // capacity 1: OnChange sends, follow receives; full is enough
	state  atomic.Pointer[policystore.State]
	table  atomic.Pointer[routing.Table]
	egress map[federation.ServicePort]routing.EgressPort
	self   federation.ClusterName
}

// agents starts n of them and waits until they have a table.
func agents(t *testing.T, n int, settle *atomic.Int64, address string) (all []*agent, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for i := range n {
		a := newAgent(t, i, settle, address)
		running.Go(func() { _ = a.store.Run(ctx) })
		running.Go(func() { a.follow(ctx) })
		all = append(all, a)
	}
	for _, a := range all {
		await(t, "an agent's first table", func() bool { return a.table.Load() != nil })
	}
	return all, func() { cancel(); running.Wait() }
}

func newAgent(t *testing.T, i int, settle *atomic.Int64, address string) *agent {
	t.Helper()
	a := &agent{
		observer: newObserver(), settle: settle, dirty: make(chan struct{}, 1),
		egress: map[federation.ServicePort]routing.EgressPort{}, self: federation.ClusterName(fmt.Sprintf("agent-%03d", i)),
	}
	for j := range imports {
		a.egress[portOf(j)] = routing.EgressPort{Port: uint16(20_000 + j)} //nolint:gosec // a few
	}
	var err error
	a.store, err = policystore.New(storeConfig(ownFederation, a.self, address), policystore.Deps{OnChange: a.changed})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func portOf(i int) federation.ServicePort {
	return federation.ServicePort{Service: serviceAt(i), Port: 80}
}

func (a *agent) changed(s policystore.State) {
	a.state.Store(&s)
	select {
	case a.dirty <- struct{}{}:
	default:
	}
}

func (a *agent) follow(ctx context.Context) {
	var memory routing.State
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.dirty:
		}
		if d := time.Duration(a.settle.Load()); d > 0 {
			wait(ctx, d)
		}
		s := a.state.Load()
		var result routing.Result
		result, memory = routing.Compute(routing.Inputs{
			Self: a.self, Federation: ownFederation, Members: s.Members, Exports: s.Exports, Policies: s.Policies, Egress: a.egress,
		}, memory, time.Since(began))
		a.table.Store(&result.Table)
		a.note(s.Revision)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// prefers is the region that the agent's table tries first for an import.
func (a *agent) prefers(i int) federation.Region {
	tiers := a.table.Load().Routes[portOf(i)].Tiers
	if len(tiers) == 0 {
		return ""
	}
	return tiers[0].Region
}
