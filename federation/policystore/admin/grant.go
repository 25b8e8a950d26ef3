package admin

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation"
)

// RootUser administers the store: the common name of its certificate.
const RootUser = "root"

// ServerUser is the common name of the store's own certificates, as `causewayctl certs`
// makes them. The members know each other by it, so no cluster may have it.
const ServerUser = "policy-store"

// Cluster is what a cluster of a federation may be in the store.
type Cluster struct {
	Federation string
	// Name is the etcd user, and the common name of the client certificate.
	Name federation.ClusterName
	// Author may write policies of its own.
	Author bool
	// Coordinator may stand for election and move rollouts.
	Coordinator bool
}

var (
	labelPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	// federationPattern is what policystore takes as part of a key.
	federationPattern = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$`)
)

// Validate joins all faults.
func (c Cluster) Validate() error {
	var errs []error
	if err := validateFederation(c.Federation); err != nil {
		errs = append(errs, err)
	}
	switch {
	case !labelPattern.MatchString(string(c.Name)):
		errs = append(errs, fmt.Errorf("cluster name %q: want a DNS label: lower-case letters, digits and '-', at most 63", c.Name))
	case c.Name == RootUser || c.Name == ServerUser:
		errs = append(errs, fmt.Errorf("cluster name %q belongs to the store itself: choose another", c.Name))
	}
	return errors.Join(errs...)
}

func validateFederation(name string) error {
	if !federationPattern.MatchString(name) {
		return fmt.Errorf("federation name %q: want letters, digits, '-' and '.', at most 253, as in the MeshFederation's spec.federation", name)
	}
	return nil
}

// Grant is one right to a range of keys: From alone if To is empty, else [From, To).
type Grant struct {
	From, To string
	Write    bool // else it is a right to read
}

// Covers says whether the range holds key.
func (g Grant) Covers(key string) bool {
	if g.To == "" {
		return key == g.From
	}
	return g.From <= key && key < g.To
}

func (g Grant) String() string {
	verb, what := "read ", g.From
	if g.Write {
		verb = "write "
	}
	if g.To != "" {
		what += "*"
	}
	return verb + what
}

// below is everything under a prefix that ends in a slash: its end is the prefix's
// successor, so that exports/a/ holds nothing of exports/ab/.
func below(prefix string) (from, to string) { return prefix, clientv3.GetPrefixRangeEnd(prefix) }

// versionPrefix is above all federations of the store.
const versionPrefix = "/causeway/v1/"

func prefixOf(federationName string) string { return versionPrefix + federationName + "/" }

// Grants are all rights of a cluster, in order of their keys.
func (c Cluster) Grants() []Grant {
	out := c.own()
	out = append(out, readers(c.Federation)...)
	if c.Coordinator {
		out = append(out, coordinators(c.Federation)...)
	}
	slices.SortFunc(out, compareGrants)
	return out
}

// own are the rights that no other cluster has, and the counter of the order.
func (c Cluster) own() []Grant {
	p, name := prefixOf(c.Federation), string(c.Name)
	out := []Grant{
		{From: p + "members/" + name, Write: true},
		{From: p + "order", Write: true},
		{From: p + "presence/" + name, Write: true},
		writeBelow(p + "exports/" + name + "/"),
	}
	if c.Author {
		out = append(out, writeBelow(p+"policies/"+name+"/"))
	}
	slices.SortFunc(out, compareGrants)
	return out
}

// readers are the rights that every cluster of a federation has.
func readers(federationName string) []Grant {
	from, to := below(prefixOf(federationName))
	return []Grant{{From: from, To: to}}
}

// coordinators are the rights of the clusters that may lead rollouts. Elections live in
// elections/<name>/<lease>.
func coordinators(federationName string) []Grant {
	p := prefixOf(federationName)
	return []Grant{writeBelow(p + "elections/"), writeBelow(p + "rollouts/")}
}

func writeBelow(prefix string) Grant {
	from, to := below(prefix)
	return Grant{From: from, To: to, Write: true}
}

func compareGrants(a, b Grant) int {
	return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
}

// The names of our roles. A colon is in no name of a federation or cluster.
func readerRole(federationName string) string { return "causeway:" + federationName + ":reader" }
func coordinatorRole(federationName string) string {
	return "causeway:" + federationName + ":coordinator"
}
func (c Cluster) role() string { return "causeway:" + c.Federation + ":cluster:" + string(c.Name) }

// roles are the user's.
func (c Cluster) roles() []string {
	out := []string{c.role(), readerRole(c.Federation)}
	if c.Coordinator {
		out = append(out, coordinatorRole(c.Federation))
	}
	return out
}

// federationOfRole tells whose role it is; "" if it is none of ours.
func federationOfRole(role string) string {
	p := strings.Split(role, ":")
	if len(p) < 3 || p[0] != "causeway" {
		return ""
	}
	return p[1]
}
