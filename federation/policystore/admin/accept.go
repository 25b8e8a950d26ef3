package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Acceptance is what a person has said of a store that is another one than before, or has
// gone back: that it is to be followed from this revision on.
type Acceptance struct {
	StoreID  uint64
	Revision uint64
}

type acceptanceValue struct {
	SchemaVersion int `json:"schemaVersion"`
	// StoreID is decimal: JSON's numbers do not hold 64 bits everywhere.
	StoreID  string `json:"storeID"`
	Revision uint64 `json:"revision"`
}

// Accept writes a federation's key "accepted" with the identity and revision that the
// store has now. Every cluster that refuses the store follows it then.
func (a *Admin) Accept(ctx context.Context, federationName string) (Acceptance, error) {
	if err := validateFederation(federationName); err != nil {
		return Acceptance{}, err
	}
	out, err := a.accept(ctx, prefixOf(federationName))
	if err != nil {
		return out, fmt.Errorf("accepting the store for federation %s: %w", federationName, a.told(err))
	}
	return out, nil
}

func (a *Admin) accept(ctx context.Context, prefix string) (Acceptance, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	resp, err := a.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return Acceptance{}, err
	}
	if resp.Count == 0 {
		return Acceptance{}, fmt.Errorf("there is nothing under %s: check the federation's name, and that this is the store that was restored", prefix)
	}
	out := Acceptance{StoreID: resp.Header.ClusterId, Revision: uint64(resp.Header.Revision)} //nolint:gosec // never negative
	value, err := json.Marshal(acceptanceValue{SchemaVersion: 1, StoreID: strconv.FormatUint(out.StoreID, 10), Revision: out.Revision})
	if err != nil {
		return Acceptance{}, err
	}
	_, err = a.client.Put(ctx, prefix+"accepted", string(value))
	return out, err
}
