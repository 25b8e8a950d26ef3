package policystore_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation/policystore"
)

const place = "/causeway/v1/prod/"

func (s *store) trial(ctx context.Context) (*policystore.Trial, error) {
	cfg := policystore.DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Endpoints = "prod", "a", []string{"http://" + s.address}
	return policystore.NewTrial(ctx, cfg)
}

func (s *store) raw(t *testing.T) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + s.address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func keysUnder(t *testing.T, c *clientv3.Client, prefix string) (out []string) {
	t.Helper()
	resp, err := c.Get(t.Context(), prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		out = append(out, string(kv.Key))
	}
	return out
}

func TestATrialLeavesNothingOfItsOwnAndAllOfOthers(t *testing.T) {
	s := startStore(t)
	raw := s.raw(t)
	if _, err := raw.Put(t.Context(), "/causeway/v1/other/members/a", "{}"); err != nil {
		t.Fatal(err)
	}
	trial, err := s.trial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	member := s.client(t, "a")
	member.register(t, "a")
	if err := trial.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := keysUnder(t, raw, place); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if kept := keysUnder(t, raw, "/causeway/v1/other/"); len(kept) != 1 {
		t.Errorf("of the other federation there is %v", kept)
	}
}

func TestATrialDoesNotTouchAFederationThatLives(t *testing.T) {
	s := startStore(t)
	raw := s.raw(t)
	s.client(t, "a").register(t, "a")
	before := keysUnder(t, raw, place)
	_, err := s.trial(t.Context())
	if err == nil || !strings.Contains(err.Error(), `a federation "prod" lives on this policy store already`) {
		t.Errorf("the trial says %v", err)
	}
	if after := keysUnder(t, raw, place); len(before) == 0 || len(after) != len(before) {
		t.Errorf("before %v, after %v", before, after)
	}
}

func TestOneTrialAtATimeAndTheNextClearsWhatAKilledOneLeft(t *testing.T) {
	s := startStore(t)
	raw := s.raw(t)
	first, err := s.trial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.client(t, "a").register(t, "a")
	if _, err := s.trial(t.Context()); err == nil || !strings.Contains(err.Error(), "another try-out") {
		t.Errorf("beside a running trial: %v", err)
	}
	held, err := raw.Get(t.Context(), place+"trial-held")
	if err != nil || len(held.Kvs) != 1 {
		t.Fatalf("%v %v", held, err)
	}
	// As if the first had been killed long ago.
	if _, err := raw.Revoke(t.Context(), clientv3.LeaseID(held.Kvs[0].Lease)); err != nil {
		t.Fatal(err)
	}
	second, err := s.trial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := keysUnder(t, raw, place); len(got) != 2 {
		t.Errorf("the second trial begins with %v", got)
	}
	if err := first.Close(t.Context()); err == nil || !strings.Contains(err.Error(), "stays under "+place) {
		t.Errorf("the first, whose lease has run out, says %v", err)
	}
	if got := keysUnder(t, raw, place); len(got) != 2 {
		t.Errorf("the first has left %v to the second", got)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestATrialOnAStoreThatIsAwaySaysSo(t *testing.T) {
	s := startStore(t)
	s.stop()
	cfg := policystore.DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Endpoints = "prod", "a", []string{"http://" + s.address}
	_, err := policystore.NewTrial(t.Context(), cfg)
	if !errors.Is(err, policystore.ErrUnreachable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("the trial says %v", err)
	}
}
