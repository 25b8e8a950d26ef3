package policystore_test

import (
	"sync/atomic"
	"testing"

	"github.com/causeway-mesh/causeway/federation/policystore"
)

// The store dies after it has told how far it is, and before the watch is asked how far
// that is: etcd's client takes this question only once it has a stream again.
func TestLossBetweenTheTwoHalvesOfAProofIsTold(t *testing.T) {
	s := startStore(t)
	raw, p := s.raw(t), s.proxy(t)
	var armed atomic.Bool
	held, release := make(chan struct{}), make(chan struct{})
	c := s.launch(t, "a", s.ca.Source(operator("a")), func(cfg *policystore.Config, deps *policystore.Deps) {
		eager(cfg)
		p.through(cfg)
		cfg.Unsealed = true
		deps.OnChange = func(policystore.State) {
			if armed.CompareAndSwap(true, false) {
				close(held)
				<-release
			}
		}
	})
	await(t, "the first read", func() bool { return c.Status().Connected })
	armed.Store(true)
	if _, err := raw.Put(t.Context(), "/causeway/v1/prod/exports/b/shop/x", `{"schemaVersion":1,"order":1,"ports":[]}`); err != nil {
		t.Fatal(err)
	}
	<-held // whoever follows the watch can't take the first half
	elsewhere, err := raw.Put(t.Context(), "elsewhere", "")
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the first half of a proof", func() bool {
		return c.Status().Known.Revision == uint64(elsewhere.Header.Revision) //nolint:gosec // never negative
	})
	p.setCut(true)
	await(t, "the client to notice", p.noticed)
	close(release)
	await(t, "the loss to be told", func() bool { return !c.Status().Connected })
	p.setCut(false)
	await(t, "the store to be back", func() bool { return c.Status().Connected })
}
