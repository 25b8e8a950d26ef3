package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// plentyRevisions is more history than any compaction that works leaves by itself.
const plentyRevisions = 100_000

// Compaction is how much history a store keeps, and how much of it somebody still needs.
type Compaction struct {
	Revision int64 `json:"revision"`
	// Oldest is the lowest revision that can still be read.
	Oldest int64 `json:"oldest"`
	// Applied is what each cluster's presence says it has applied, the lowest first.
	Applied []Applied `json:"applied"`
	// Away are registered clusters without presence: they will read everything anew, so
	// they need no history.
	Away []string `json:"away"`
}

// Applied is the revision that a cluster's routes stand for.
type Applied struct {
	Cluster  string `json:"cluster"`
	Revision int64  `json:"revision"`
}

// MayCompactTo is the highest revision to compact to without sending a present cluster
// back to a full read; 0 if nobody is present.
func (c Compaction) MayCompactTo() int64 {
	if len(c.Applied) == 0 {
		return 0
	}
	return min(c.Applied[0].Revision, c.Revision)
}

// Findings are what to say about it. Pure.
func (c Compaction) Findings() []Finding {
	var out []Finding
	kept := c.Revision - c.Oldest
	switch {
	case kept > plentyRevisions:
		out = append(out, Finding{Warning, fmt.Sprintf("%d revisions are kept: automatic compaction seems to be off", kept),
			"start etcd with --auto-compaction-mode=periodic --auto-compaction-retention=1h, as `causeway-operator store` does, or compact by hand"})
	case c.Oldest <= 1:
		out = append(out, Finding{Note, "nothing has been compacted yet", fmt.Sprintf("nothing, if the store is younger than its retention; look again, and act if more than %d revisions are kept", plentyRevisions)})
	}
	for _, a := range c.Applied {
		if a.Revision < c.Oldest-1 {
			out = append(out, Finding{Warning, fmt.Sprintf("cluster %s has applied revision %d, and history begins at %d: should its watch break now, it reads everything anew", a.Cluster, a.Revision, c.Oldest),
				"see why it lags (causewayctl status --context " + a.Cluster + "); keep more history if this is usual"})
		}
	}
	if len(c.Away) > 0 {
		out = append(out, Finding{Note, "registered and not present: " + strings.Join(c.Away, ", "), "nothing: each reads everything when it is back; take one that is gone for good out with `causewayctl store remove-cluster`"})
	}
	return out
}

// CompactCheck asks how far a federation's history may be compacted. It changes nothing.
func (a *Admin) CompactCheck(ctx context.Context, federationName string) (Compaction, error) {
	if err := validateFederation(federationName); err != nil {
		return Compaction{}, err
	}
	c, err := a.compaction(ctx, prefixOf(federationName))
	if err != nil {
		return c, fmt.Errorf("asking for the store's history: %w", a.told(err))
	}
	return c, nil
}

func (a *Admin) compaction(ctx context.Context, prefix string) (Compaction, error) {
	c := Compaction{Applied: []Applied{}, Away: []string{}}
	request, cancel := a.within(ctx)
	defer cancel()
	resp, err := a.client.Get(request, prefix+"presence/", clientv3.WithPrefix())
	if err != nil {
		return c, err
	}
	c.Revision = resp.Header.Revision
	present := map[string]bool{}
	for _, kv := range resp.Kvs {
		name := strings.TrimPrefix(string(kv.Key), prefix+"presence/")
		var v struct {
			Applied int64 `json:"applied"`
		}
		if err := json.Unmarshal(kv.Value, &v); err != nil {
			a.cfg.Say("warning: the presence of cluster %s can't be read: %v", name, err)
			continue
		}
		present[name] = true
		c.Applied = append(c.Applied, Applied{name, v.Applied})
	}
	slices.SortFunc(c.Applied, func(x, y Applied) int {
		return cmp.Or(cmp.Compare(x.Revision, y.Revision), cmp.Compare(x.Cluster, y.Cluster))
	})
	from, to := below(prefix + "members/")
	err = a.keysOf(ctx, from, to, false, func(key string) {
		if name := strings.TrimPrefix(key, from); !present[name] {
			c.Away = append(c.Away, name)
		}
	})
	if err != nil {
		return c, err
	}
	c.Oldest, err = a.oldest(ctx, c.Revision)
	return c, err
}

// oldest searches for the lowest revision that can be read, in some 60 small requests at
// most: etcd tells it nowhere.
func (a *Admin) oldest(ctx context.Context, head int64) (int64, error) {
	var fault error
	below := sort.Search(int(head), func(i int) bool {
		if fault != nil {
			return true
		}
		ok, err := a.readable(ctx, int64(i)+1)
		fault = err
		return ok
	})
	return int64(below) + 1, fault
}

func (a *Admin) readable(ctx context.Context, revision int64) (bool, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	_, err := a.client.Get(ctx, versionPrefix, clientv3.WithCountOnly(), clientv3.WithRev(revision))
	if errors.Is(err, rpctypes.ErrCompacted) {
		return false, nil
	}
	return err == nil, err
}
