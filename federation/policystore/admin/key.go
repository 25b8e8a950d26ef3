package admin

import (
	"cmp"
	"slices"
	"strings"
)

// KeyCount is how many keys of a kind a cluster has in the store.
type KeyCount struct {
	Federation string `json:"federation"`
	Kind       string `json:"kind"`
	// Cluster is empty for keys that belong to the federation as a whole.
	Cluster string `json:"cluster,omitempty"`
	Keys    int    `json:"keys"`
}

// ownerOf takes a key under versionPrefix apart. What this version does not know is of
// the kind "other".
func ownerOf(key string) KeyCount {
	rest := strings.TrimPrefix(key, versionPrefix)
	p := strings.Split(rest, "/")
	c := KeyCount{Federation: p[0], Kind: "other"}
	if len(p) < 2 {
		return c
	}
	switch {
	case len(p) == 2 && slices.Contains([]string{"order", "accepted", "trial", "trial-held"}, p[1]):
		c.Kind = p[1]
	case p[1] == "elections":
		c.Kind = p[1]
	case len(p) == 3 && (p[1] == "members" || p[1] == "presence"),
		len(p) == 5 && slices.Contains([]string{"exports", "policies", "rollouts"}, p[1]):
		c.Kind, c.Cluster = p[1], p[2]
	}
	return c
}

// tally counts keys.
type tally map[KeyCount]int

func (t tally) add(key string) { t[ownerOf(key)]++ }

func (t tally) list() []KeyCount {
	out := make([]KeyCount, 0, len(t))
	for k, n := range t {
		k.Keys = n
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b KeyCount) int {
		return cmp.Or(cmp.Compare(a.Federation, b.Federation), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Cluster, b.Cluster))
	})
	return out
}
