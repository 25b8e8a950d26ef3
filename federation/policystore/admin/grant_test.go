package admin_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore/admin"
)

// Few letters, so that names are often each other's beginnings; '-', '.' and '0' sort
// just before, just before and just after the slash.
var (
	labels      = rapid.StringMatching(`[ab0]([ab0-]{0,2}[ab0])?`)
	federations = rapid.StringMatching(`[ab0]([ab0.-]{0,2}[ab0])?`)
)

func clusters() *rapid.Generator[admin.Cluster] {
	return rapid.Custom(func(t *rapid.T) admin.Cluster {
		return admin.Cluster{
			Federation: federations.Draw(t, "federation"), Name: federation.ClusterName(labels.Draw(t, "cluster")),
			Author: rapid.Bool().Draw(t, "author"), Coordinator: rapid.Bool().Draw(t, "coordinator"),
		}
	})
}

func keys() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		p := "/causeway/v1/" + federations.Draw(t, "of federation") + "/"
		name := labels.Draw(t, "of cluster")
		return p + rapid.SampledFrom([]string{
			"members/" + name, "presence/" + name, "exports/" + name + "/shop/cart", "policies/" + name + "/shop/cart",
			"rollouts/" + name + "/shop/cart", "elections/" + name + "/6a", "order", "orders", "accepted", "trial", "trial-held",
			"members/" + name + "/x", "exports/" + name, "presence", "",
		}).Draw(t, "key")
	})
}

// may is the rule in words of names instead of ranges: the naive twin of Grants.
func may(c admin.Cluster, write bool, key string) bool {
	p := strings.Split(strings.TrimPrefix(key, "/causeway/v1/"), "/")
	if p[0] != c.Federation {
		return false
	}
	if !write {
		return true
	}
	own := len(p) > 2 && p[2] == string(c.Name)
	switch p[1] {
	case "order":
		return len(p) == 2
	case "members", "presence":
		return own && len(p) == 3
	case "exports":
		return own && len(p) > 3
	case "policies":
		return own && len(p) > 3 && c.Author
	case "rollouts", "elections":
		return c.Coordinator
	}
	return false
}

func granted(c admin.Cluster, write bool, key string) bool {
	return slices.ContainsFunc(c.Grants(), func(g admin.Grant) bool { return g.Write == write && g.Covers(key) })
}

func TestGrantsAreTheRuleForEveryNameAndKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := clusters().Draw(t, "cluster")
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			key, write := keys().Draw(t, "key"), rapid.Bool().Draw(t, "write")
			if got, want := granted(c, write, key), may(c, write, key); got != want {
				t.Fatalf("%+v, write %t: %q granted %t, want %t", c, write, key, got, want)
			}
		}
	})
}

func TestNoClustersGrantsCoverAnotherClustersKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := clusters().Draw(t, "one"), clusters().Draw(t, "other")
		if one.Federation == other.Federation && one.Name == other.Name {
			return
		}
		p := "/causeway/v1/" + other.Federation + "/"
		for _, kind := range []string{"members/", "presence/", "exports/", "policies/"} {
			key := p + kind + string(other.Name)
			if kind == "exports/" || kind == "policies/" {
				key += "/shop/cart"
			}
			if granted(one, true, key) {
				t.Fatalf("%+v may write %s", one, key)
			}
			if one.Federation != other.Federation && granted(one, false, key) {
				t.Fatalf("%+v may read %s", one, key)
			}
		}
	})
}

func TestNamesOfTheStoreItselfAreNoClusters(t *testing.T) {
	for _, name := range []federation.ClusterName{"root", "policy-store", "", "A", "a/b", "a.b", "-a"} {
		if err := (admin.Cluster{Federation: "prod", Name: name}).Validate(); err == nil {
			t.Errorf("%q is taken for a cluster's name", name)
		}
	}
	for _, f := range []string{"", "a/b", "..", "a:b"} {
		if err := (admin.Cluster{Federation: f, Name: "a"}).Validate(); err == nil {
			t.Errorf("%q is taken for a federation's name", f)
		}
	}
}
