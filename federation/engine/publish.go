package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"reflect"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

type (
	tlsConfig = tls.Config
	tlsState  = tls.ConnectionState
)

// ErrNoStore is returned while there is no policy store to publish to: none is
// configured, or this replica does not lead.
var ErrNoStore = errors.New("the policy store is not connected yet")

// registration is how we stand with our own member key.
type registration struct {
	busy     bool
	leaving  bool          // Unregister was called: do not come back by ourselves
	retry    time.Duration // not before this moment
	conflict string
	failure  string
}

// registerAgain is the pause after a failed registration.
const registerAgain = 2 * time.Second

// SetExport publishes one of our exports and returns it with its place in the
// global order. It is idempotent, and bounded by the store's request timeout.
func (e *Engine) SetExport(ctx context.Context, x federation.Export) (federation.Export, error) {
	store, err := e.writer()
	if err != nil {
		return x, err
	}
	return store.PutExport(ctx, x)
}

// RemoveExport withdraws one of our exports.
func (e *Engine) RemoveExport(ctx context.Context, svc federation.ServiceName) error {
	store, err := e.writer()
	if err != nil {
		return err
	}
	return store.DeleteExport(ctx, svc)
}

// SetPolicy publishes one of our policies; see SetExport.
func (e *Engine) SetPolicy(ctx context.Context, p federation.Policy) (federation.Policy, error) {
	store, err := e.writer()
	if err != nil {
		return p, err
	}
	return store.PutPolicy(ctx, p)
}

// RemovePolicy takes one of our policies out of force.
func (e *Engine) RemovePolicy(ctx context.Context, id federation.PolicyID) error {
	store, err := e.writer()
	if err != nil {
		return err
	}
	return store.DeletePolicy(ctx, id)
}

// Unregister withdraws our registration, exports and policies, for good: only new
// settings register again. Call it before Unconfigure.
func (e *Engine) Unregister(ctx context.Context) error {
	store, err := e.writer()
	if err != nil {
		return err
	}
	if err := e.leave(store); err != nil {
		return err
	}
	return store.Unregister(ctx)
}

// leave stops registering by ourselves. It refuses while a registration is on its
// way, which would bring back what is withdrawn, and before the first one, without
// which the store client does not know what is ours.
func (e *Engine) leave(store *policystore.Store) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.register.leaving:
	case e.store == nil || e.store.store != store || !e.store.introduced:
		return ErrNoStore
	case e.register.busy:
		return errors.New("a registration is still on its way")
	}
	e.register.leaving = true
	return nil
}

// conflict says who holds our name: as the store said when we registered, or as it
// shows before we have.
func (e *Engine) conflict() string {
	if e.register.conflict != "" || e.settings == nil {
		return e.register.conflict
	}
	m, ok := e.state.Members[e.settings.Cluster]
	if !ok || m.InstanceID == e.settings.InstanceID {
		return ""
	}
	return policystore.NameTaken(e.settings.Federation, m.Name, m.InstanceID, e.settings.InstanceID).Error()
}

// writer returns the store if we may write: not while another cluster holds our
// name, whose keys these would be.
func (e *Engine) writer() (*policystore.Store, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.store == nil || e.settings == nil { // settings go before the store client does
		return nil, ErrNoStore
	}
	if e.register.conflict != "" {
		return nil, errors.New(e.register.conflict)
	}
	m, ok := e.state.Members[e.settings.Cluster]
	if !ok || m.InstanceID != e.settings.InstanceID {
		return nil, errors.New("this cluster is not registered in the federation yet")
	}
	return e.store.store, nil
}

// registerSoon writes our member key in the background when it is not what it
// should be.
func (e *Engine) registerSoon(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	if e.store == nil || e.epoch == 0 || e.settings == nil || !e.synced || e.register.busy || e.register.leaving || now < e.register.retry {
		return
	}
	s := e.settings
	want := federation.Member{
		Name: s.Cluster, Region: s.Region, Zone: s.Zone, Jurisdiction: s.Jurisdiction,
		TrustDomain: s.TrustDomain, InstanceID: s.InstanceID, Gateways: e.advertised(now),
		APIServerLost: e.apiServerLost,
	}
	if have, ok := e.state.Members[s.Cluster]; ok && reflect.DeepEqual(have, want) && e.store.introduced {
		e.register.conflict, e.register.failure = "", ""
		return
	}
	e.register.busy = true
	store := e.store.store
	go func() {
		err := store.Register(ctx, want)
		e.registered(store, err)
	}()
}

func (e *Engine) registered(store *policystore.Store, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.register = registration{leaving: e.register.leaving}
	switch {
	case err == nil && e.store != nil && e.store.store == store:
		e.store.introduced = true
	case errors.Is(err, policystore.ErrNameTaken):
		e.register.conflict = err.Error()
		e.register.retry = e.now() + registerAgain
	case err != nil:
		e.register.failure = err.Error()
		e.register.retry = e.now() + registerAgain
	}
	e.touch()
}

func (e *Engine) storeStatus() StoreStatus {
	switch {
	case e.settings == nil:
		return StoreStatus{Reason: "NotConfigured", Message: "no MeshFederation is in force"}
	case e.store == nil && e.settings.StoreCert != nil:
		return StoreStatus{Reason: "NotSynced", Message: "waiting for the operator's certificate, with which the store's values are signed and verified"}
	case e.store == nil:
		return StoreStatus{Reason: "NotConfigured", Message: "the store's client certificate is missing"}
	}
	s := e.store.store.Status()
	return StoreStatus{Connected: s.Connected, Reason: string(s.Reason), Message: s.Message, Revision: s.Revision, Age: s.Age}
}

func (e *Engine) gossipStatus(know knowledge) GossipStatus {
	switch {
	case e.settings == nil:
		return GossipStatus{Reason: "NotConfigured", Message: "no MeshFederation is in force"}
	case e.epoch == 0:
		return GossipStatus{Reason: "NotLeading", Message: "another replica leads; " + e.follow.String()}
	case e.conflict() != "":
		return GossipStatus{Reason: "NameConflict", Message: "the seat in the gossip belongs to the cluster that holds our name"}
	case e.seat == nil && !e.seatable():
		return GossipStatus{Reason: "Pending", Message: "waiting for the policy store to say whether our name is free"}
	case e.seat == nil && e.seatErr != "":
		return GossipStatus{Reason: "Failed", Message: e.seatErr}
	case e.seat == nil:
		return GossipStatus{Reason: "NoIdentity", Message: "waiting for the operator's certificate"}
	}
	s := GossipStatus{Running: true, Epoch: e.epoch, Reason: "Running"}
	for name, m := range know.members {
		if name != e.settings.Cluster && string(m.Status) == "Alive" {
			s.Alive++
		}
	}
	return s
}
