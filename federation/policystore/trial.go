package policystore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// trialTTL is how many seconds after its process has died a trial still counts as
// running.
const trialTTL = 10

// Trial is a federation's place in somebody's own etcd, held for a try-out: nobody
// else's values are in it, and Close leaves none there. The demo calls it, from one
// goroutine.
//
// Two keys say so, which readers of the federation skip: "trial" marks the place as a
// try-out's, so that the next one may clear what a killed one has left; "trial-held"
// lives on a lease while one runs.
type Trial struct {
	store  *Store
	client *clientv3.Client
	lease  clientv3.LeaseID
	stop   context.CancelFunc // ends the lease's renewal
}

func (k keys) trial() string     { return k.prefix + "trial" }
func (k keys) trialHeld() string { return k.prefix + "trial-held" }

// NewTrial asks every endpoint, each for itself, and takes the federation's place. An
// error says what to do: an endpoint that does not answer (ErrUnreachable) or that TLS
// does not trust (ErrUntrusted), a client that may not (ErrForbidden), or a place that
// is not free. ctx bounds the call; each endpoint has Config.RequestTimeout.
func NewTrial(ctx context.Context, cfg Config) (*Trial, error) {
	cfg.Unsealed = true // a trial's marks are no values
	for _, e := range cfg.Endpoints {
		one := cfg
		one.Endpoints = []string{e}
		if err := ask(ctx, one); err != nil {
			return nil, err
		}
	}
	store, err := New(cfg, Deps{})
	if err != nil {
		return nil, err
	}
	renewal, stop := context.WithCancel(context.WithoutCancel(ctx))
	t := &Trial{store: store, stop: stop}
	if t.client, err = store.newClient(renewal); err != nil {
		stop()
		return nil, fmt.Errorf("policy store client: %w", err)
	}
	if err := t.take(ctx, renewal); err != nil {
		stop()
		_ = t.client.Close()
		return nil, store.told(err)
	}
	return t, nil
}

// ask reads one key from the one endpoint of cfg.
func ask(ctx context.Context, cfg Config) error {
	s, err := New(cfg, Deps{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	if err := knock(ctx, cfg.Endpoints[0], cfg.TLS); err != nil {
		return s.told(err)
	}
	client, err := s.newClient(ctx)
	if err != nil {
		return fmt.Errorf("policy store client: %w", err)
	}
	defer func() { _ = client.Close() }()
	_, err = client.Get(ctx, s.keys.trial())
	return s.told(err)
}

// knock connects once: gRPC would try until the timeout, and then say only that.
func knock(ctx context.Context, endpoint string, trust *tls.Config) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	var dialer interface {
		DialContext(context.Context, string, string) (net.Conn, error)
	} = &net.Dialer{}
	if trust != nil {
		trust = trust.Clone()
		trust.NextProtos = []string{"h2"}
		dialer = &tls.Dialer{Config: trust}
	}
	conn, err := dialer.DialContext(ctx, "tcp", u.Host)
	switch {
	case distrust(err):
		return fmt.Errorf("%w: %w", ErrUntrusted, err)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return conn.Close()
}

// told adds to an error what a person can do about it.
func (s *Store) told(err error) error {
	err = s.explain(err)
	advice := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrUntrusted):
		advice = "; check that the CA has signed the store's certificate, that the certificate names this address, and that the store trusts the client certificate"
	case errors.Is(err, ErrUnreachable):
		advice = "; check that it runs and that the address is right"
	case errors.Is(err, ErrForbidden):
		advice = "; give the client certificate's user read and write access to " + s.keys.prefix
	}
	return fmt.Errorf("policy store at %s: %w%s", strings.Join(s.cfg.Endpoints, ", "), err, advice)
}

func (t *Trial) take(ctx, renewal context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.store.cfg.RequestTimeout)
	defer cancel()
	if err := t.free(ctx); err != nil {
		return err
	}
	lease, err := t.client.Grant(ctx, trialTTL)
	if err != nil {
		return err
	}
	t.lease = lease.ID
	k := t.store.keys
	resp, err := t.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(k.trialHeld()), "=", 0)).Then(
		clientv3.OpPut(k.trialHeld(), "", clientv3.WithLease(t.lease)), clientv3.OpPut(k.trial(), ""),
	).Commit()
	if err != nil {
		return err
	}
	if !resp.Succeeded {
		return fmt.Errorf("another try-out of federation %q runs on this policy store, or was killed within the last %d seconds: end it, or wait", t.store.cfg.Federation, trialTTL)
	}
	alive, err := t.client.KeepAlive(renewal, t.lease)
	if err != nil {
		return err
	}
	go func() { // ends with renewal, or with the lease
		for range alive { //nolint:revive // the answers tell nothing
		}
	}()
	return t.clear(ctx)
}

// free checks that nobody's federation lives here but an earlier trial's.
func (t *Trial) free(ctx context.Context) error {
	k := t.store.keys
	all, err := t.client.Get(ctx, k.prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	ours, err := t.client.Get(ctx, k.trial(), clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	if all.Count > 0 && ours.Count == 0 {
		return fmt.Errorf("a federation %q lives on this policy store already (%d keys under %s), and no try-out has made it: use another etcd, or delete those keys if nobody needs them",
			t.store.cfg.Federation, all.Count, k.prefix)
	}
	return nil
}

// clear removes what an earlier trial has left, but for the marks.
func (t *Trial) clear(ctx context.Context) error {
	k := t.store.keys
	_, err := t.client.Txn(ctx).Then(
		clientv3.OpDelete(k.prefix, clientv3.WithRange(k.trial())),
		clientv3.OpDelete(k.trialHeld()+"\x00", clientv3.WithRange(clientv3.GetPrefixRangeEnd(k.prefix))),
	).Commit()
	return err
}

// Close removes everything of the federation and lets the place go. Call it when no
// member runs any more. An error names the keys that may be left.
func (t *Trial) Close(ctx context.Context) error {
	defer func() {
		t.stop()
		_ = t.client.Close()
	}()
	ctx, cancel := context.WithTimeout(ctx, t.store.cfg.RequestTimeout)
	defer cancel()
	k := t.store.keys
	// A lease that ran out while the store was away may be another trial's by now.
	resp, err := t.client.Txn(ctx).
		If(clientv3.Compare(clientv3.LeaseValue(k.trialHeld()), "=", t.lease)).
		Then(clientv3.OpDelete(k.prefix, clientv3.WithPrefix())).Commit()
	if err != nil {
		return fmt.Errorf("what the try-out wrote stays under %s until the next one, or until you delete it: %w", k.prefix, t.store.explain(err))
	}
	if !resp.Succeeded {
		return fmt.Errorf("what the try-out wrote stays under %s until the next one, or until you delete it: its lease had run out", k.prefix)
	}
	_, err = t.client.Revoke(ctx, t.lease)
	return t.store.explain(err)
}
