package policystore_test

import (
	"context"
	"errors"
	"testing"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

// term is one time that a client led.
type term struct {
	policystore.Leadership
	ctx context.Context //nolint:containedctx // it is what is tested
}

// campaign leads whenever it can and sends each term, until the test ends.
func (c *client) campaign(t *testing.T) <-chan term {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	terms, done := make(chan term, 16), make(chan struct{})
	go func() {
		defer close(done)
		_ = c.Lead(ctx, "rollouts", func(ctx context.Context, l policystore.Leadership) {
			terms <- term{l, ctx}
			<-ctx.Done()
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return terms
}

func (c *client) rollout(wave int) federation.Rollout {
	return federation.Rollout{
		Policy: federation.PolicyID{Origin: "a", Namespace: "shop", Name: "p"},
		To:     2, From: 1, Phase: federation.RolloutProgressing, Wave: wave,
	}
}

func next(t *testing.T, terms <-chan term) (out term) {
	t.Helper()
	await(t, "a term", func() bool {
		select {
		case out = <-terms:
			return true
		default:
			return false
		}
	})
	return out
}

func TestOneLeadsAndTheOtherAfterItsDeathAndTheDeposedCannotWrite(t *testing.T) {
	s := startStore(t)
	p := s.proxy(t)
	a := s.open(t, "a", func(c *policystore.Config) { brief(c); p.through(c) })
	b := s.brief(t, "b")
	await(t, "the first read", func() bool { return a.Status().Synced })
	ofA := a.campaign(t)
	first := next(t, ofA)
	ofB := b.campaign(t)
	put, err := first.PutRollout(t.Context(), a.rollout(0), 0)
	if err != nil || put.Revision == 0 || put.Coordinator != "a" {
		t.Fatalf("%+v, %v", put, err)
	}
	if again, err := first.PutRollout(t.Context(), a.rollout(0), 0); err != nil || again.Revision != put.Revision {
		t.Errorf("an equal one was written again: %+v, %v", again, err)
	}
	await(t, "the rollout", func() bool { return b.State().Rollouts[put.Policy].Revision == put.Revision })
	if len(ofB) > 0 {
		t.Fatal("two lead")
	}
	p.setCut(true) // as if its machine had gone
	second := next(t, ofB)
	await(t, "the first to know that it is lost", func() bool { return first.ctx.Err() != nil })
	if _, err := second.PutRollout(t.Context(), b.rollout(1), put.Revision-1); !errors.Is(err, policystore.ErrStale) {
		t.Errorf("decided from what is older: %v", err)
	}
	if _, err := second.PutRollout(t.Context(), b.rollout(1), put.Revision); err != nil {
		t.Fatal(err)
	}
	await(t, "the loss to be told", func() bool { return !a.Status().Connected })
	p.setCut(false)
	await(t, "a to be back", func() bool { return a.Status().Connected })
	if _, err := first.PutRollout(t.Context(), a.rollout(5), put.Revision); !errors.Is(err, policystore.ErrDeposed) {
		t.Errorf("a deposed leader wrote: %v", err)
	}
	if err := first.DeleteRollout(t.Context(), put.Policy, 0); !errors.Is(err, policystore.ErrDeposed) {
		t.Errorf("a deposed leader removed: %v", err)
	}
	await(t, "the second's word", func() bool { return a.State().Rollouts[put.Policy].Wave == 1 })
	raw := s.raw(t)
	policy := "/causeway/v1/prod/policies/" + string(put.Policy.Origin) + "/" + put.Policy.Namespace + "/" + put.Policy.Name
	if _, err := raw.Put(t.Context(), policy, "what only others can verify"); err != nil {
		t.Fatal(err)
	}
	if err := second.DeleteRollout(t.Context(), put.Policy, 0); !errors.Is(err, policystore.ErrStale) {
		t.Errorf("removed under a policy that stands: %v", err)
	}
	if _, err := raw.Delete(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	if err := second.DeleteRollout(t.Context(), put.Policy, 0); err != nil {
		t.Fatal(err)
	}
	await(t, "the removal", func() bool { return len(a.State().Rollouts) == 0 })
}

func TestLeaderWhoseKeyIsTakenIsDeposedByItsNextWrite(t *testing.T) {
	s := startStore(t)
	a := s.brief(t, "a")
	terms := a.campaign(t)
	first := next(t, terms)
	raw := s.raw(t)
	for _, key := range keysUnder(t, raw, "/causeway/v1/prod/elections/") {
		if _, err := raw.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := first.PutRollout(t.Context(), a.rollout(0), 0); !errors.Is(err, policystore.ErrDeposed) {
		t.Errorf("writing without the key: %v", err)
	}
	if first.ctx.Err() == nil {
		t.Error("the term goes on")
	}
	if _, err := next(t, terms).PutRollout(t.Context(), a.rollout(0), 0); err != nil {
		t.Error(err)
	}
}

func TestLeaderIsElectedAgainAfterTheStoreWasAway(t *testing.T) {
	s := startStore(t)
	a := s.brief(t, "a")
	terms := a.campaign(t)
	first := next(t, terms)
	s.stop()
	await(t, "the loss to be told", func() bool { return first.ctx.Err() != nil })
	s.start()
	if _, err := next(t, terms).PutRollout(t.Context(), a.rollout(0), 0); err != nil {
		t.Error(err)
	}
}
