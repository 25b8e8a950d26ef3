package mesh

import (
	"encoding/json"
	"fmt"
	"strings"
)

// UserStore is an etcd outside the world, which keeps the policies instead of one
// of ours.
type UserStore struct {
	// Endpoints are "https://host:port", as the user writes them.
	Endpoints []string
	// CA, Cert and Key are PEM: the store's authority, and the client certificate that
	// all clusters present.
	CA, Cert, Key []byte
}

// Addrs are the endpoints as "host:port": what Enter must be asked to dial.
func (u *UserStore) Addrs() []string {
	var out []string
	for _, e := range u.Endpoints {
		out = append(out, strings.TrimPrefix(e, "https://"))
	}
	return out
}

// reachUserStore makes the user's endpoints what they say, inside every cluster.
func (m *Mesh) reachUserStore() error {
	m.Step("policy store: yours, %s", strings.Join(m.UserStore.Endpoints, ", "))
	for _, a := range m.UserStore.Addrs() {
		if err := m.World.Reach(a); err != nil {
			return err
		}
	}
	return nil
}

// endpointsPatch is `kubectl patch --patch` for a MeshFederation of config/samples.
func (u *UserStore) endpointsPatch() (string, error) {
	list, err := json.Marshal(u.Endpoints)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`{"spec":{"policyStore":{"endpoints":%s}}}`, list), nil
}
