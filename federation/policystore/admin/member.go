package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// promoteEvery is how often a learner is asked whether it has caught up.
const promoteEvery = 250 * time.Millisecond

// Joining is what a new member must be told.
type Joining struct {
	Name string `json:"name"`
	// InitialCluster is "name=url,name=url" of all members, the new one included.
	InitialCluster string `json:"initialCluster"`
	// Voter says that it has its vote already.
	Voter bool `json:"voter"`
}

// AddMember makes room for a new member, which learns first and has no vote, so that a
// quorum never depends on it. A member of that name with another peer URL is moved to the
// new one. Called again it returns what is there. etcd takes a member only once all others
// have been in touch for five seconds: until then it waits, as long as ctx lets it.
func (a *Admin) AddMember(ctx context.Context, name, peerURL string) (Joining, error) {
	u, err := url.Parse(peerURL)
	if err != nil || u.Host == "" || u.Port() == "" || name == "" || strings.ContainsAny(name, "=,") {
		return Joining{}, fmt.Errorf("adding member %q at %q: want a name and a peer URL like https://host:2380", name, peerURL)
	}
	tick := time.NewTicker(promoteEvery)
	defer tick.Stop()
	for {
		j, err := a.addMember(ctx, name, u)
		switch {
		case err == nil:
			return j, nil
		case !errors.Is(err, rpctypes.ErrUnhealthy):
			return j, fmt.Errorf("adding member %s: %w", name, a.told(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return j, fmt.Errorf("adding member %s: the members that there are have not been in touch for long enough; see `causewayctl store status`: %w", name, err)
		}
	}
}

func (a *Admin) addMember(ctx context.Context, name string, at *url.URL) (Joining, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	resp, err := a.client.MemberList(ctx)
	if err != nil {
		return Joining{}, err
	}
	if m := find(resp.Members, name, at.String()); m != nil {
		if strings.Join(m.PeerURLs, ",") != at.String() {
			if _, err := a.client.MemberUpdate(ctx, m.ID, []string{at.String()}); err != nil {
				return Joining{}, err
			}
			a.cfg.Say("member %s is now known at %s (before: %s): restart it with that --advertise-peer", name, at, strings.Join(m.PeerURLs, ","))
			m.PeerURLs = []string{at.String()}
		}
		return joining(resp.Members, name, at.String(), !m.IsLearner), nil
	}
	if err := reachable(resp.Members, at); err != nil {
		return Joining{}, err
	}
	switch _, err := a.client.MemberAddAsLearner(ctx, []string{at.String()}); {
	case errors.Is(err, rpctypes.ErrTooManyLearners):
		return Joining{}, fmt.Errorf("another member still learns, and only one may at a time: finish that one first: %w", err)
	case err != nil:
		return Joining{}, err
	}
	a.cfg.Say("added member %s at %s as a learner", name, at)
	return joining(resp.Members, name, at.String(), false), nil
}

// find is the member by its name, or the one that was added for this URL and has not
// started: until then it has no name.
func find(members []*pb.Member, name, peerURL string) *pb.Member {
	for _, m := range members {
		if m.Name == name || m.Name == "" && strings.Join(m.PeerURLs, ",") == peerURL {
			return m
		}
	}
	return nil
}

// reachable refuses a cluster of which some can't be dialled from elsewhere.
func reachable(members []*pb.Member, at *url.URL) error {
	if onLoopback(at) {
		return nil
	}
	for _, m := range members {
		for _, p := range m.PeerURLs {
			if u, err := url.Parse(p); err == nil && onLoopback(u) {
				return fmt.Errorf("member %s tells its peers %s, where nobody else reaches it: run `causewayctl store add-member %s --peer-url https://HOST:2380` with an address of its own, and restart it with --listen-peer and --advertise-peer", m.Name, p, m.Name)
			}
		}
	}
	return nil
}

func onLoopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func joining(members []*pb.Member, name, peerURL string, voter bool) Joining {
	parts := []string{}
	found := false
	for _, m := range members {
		n := m.Name
		if n == "" && strings.Join(m.PeerURLs, ",") == peerURL {
			n = name
		}
		if n == "" {
			continue // added for somebody else, not started yet
		}
		found = found || n == name
		for _, p := range m.PeerURLs {
			parts = append(parts, n+"="+p)
		}
	}
	if !found {
		parts = append(parts, name+"="+peerURL)
	}
	slices.Sort(parts)
	return Joining{Name: name, InitialCluster: strings.Join(parts, ","), Voter: voter}
}

// Promote waits until a learner has caught up, and gives it its vote. ctx bounds the
// wait; afterwards it may be called again.
func (a *Admin) Promote(ctx context.Context, name string) error {
	tick := time.NewTicker(promoteEvery)
	defer tick.Stop()
	for {
		done, err := a.promote(ctx, name)
		if done {
			a.cfg.Say("member %s has caught up and has its vote", name)
			return nil
		}
		if !patient(err) {
			return fmt.Errorf("giving member %s its vote: %w", name, a.told(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("member %s has not caught up in time: start it, look at its log, and run the same command again: %w", name, ctx.Err())
		}
	}
}

var errNotStarted = errors.New("it has not started yet")

// patient says whether time may mend it.
func patient(err error) bool {
	return errors.Is(err, errNotStarted) || errors.Is(err, rpctypes.ErrMemberLearnerNotReady) ||
		errors.Is(err, rpctypes.ErrUnhealthy) || errors.Is(err, context.DeadlineExceeded)
}

func (a *Admin) promote(ctx context.Context, name string) (done bool, err error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	resp, err := a.client.MemberList(ctx)
	if err != nil {
		return false, err
	}
	for _, m := range resp.Members {
		if m.Name != name {
			continue
		}
		if !m.IsLearner {
			return true, nil
		}
		_, err := a.client.MemberPromote(ctx, m.ID)
		return err == nil, err
	}
	return false, errNotStarted
}
