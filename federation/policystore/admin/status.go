package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// keysPage is how many keys one request of a count brings.
const keysPage = 1000

// Status is how a store is doing. JSON of it is what `causewayctl store status -o json`
// prints.
type Status struct {
	// StoreID tells stores apart: a restored one has another.
	StoreID  uint64   `json:"storeID,string"`
	Revision int64    `json:"revision"`
	Members  []Member `json:"members"`
	// Quorum says that a read through the quorum came back.
	Quorum bool `json:"quorum"`
	// QuorumFault is why it did not.
	QuorumFault string `json:"quorumFault,omitempty"`
	// AuthKnown is false where the quorum that tells is missing.
	AuthKnown bool       `json:"authKnown"`
	Auth      bool       `json:"auth"`
	Alarms    []Alarm    `json:"alarms"`
	Keys      []KeyCount `json:"keys"`
}

// Member is one etcd process of a store.
type Member struct {
	ID   uint64 `json:"id,string"`
	Name string `json:"name"`
	// Endpoint is where it was asked; empty if it advertises none.
	Endpoint string `json:"endpoint"`
	PeerURLs string `json:"peerURLs"`
	// Fault is why it did not answer; empty if it did, and then the rest is known.
	Fault   string `json:"fault,omitempty"`
	Leader  bool   `json:"leader"`
	Learner bool   `json:"learner"`
	Version string `json:"version"`
	// DBBytes are on disk, UsedBytes of them hold something, QuotaBytes is the bound
	// (0 where the version does not tell).
	DBBytes    int64  `json:"dbBytes"`
	UsedBytes  int64  `json:"usedBytes"`
	QuotaBytes int64  `json:"quotaBytes"`
	Applied    uint64 `json:"raftApplied"`
	// Sees is the member that it takes for the leader; 0 is none.
	Sees uint64 `json:"sees,string"`
}

// Alarm is one that a member has raised: NOSPACE or CORRUPT.
type Alarm struct {
	Member string `json:"member"`
	Kind   string `json:"kind"`
}

// Status asks every member. An error means that nothing could be learned; a store without
// a quorum is no error but a finding.
func (a *Admin) Status(ctx context.Context) (Status, error) {
	list, err := a.memberList(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("asking for the members: %w", a.told(err))
	}
	s := Status{StoreID: list.Header.ClusterId, Members: a.members(ctx, list.Members), Alarms: []Alarm{}, Keys: []KeyCount{}}
	if err := a.head(ctx, &s); err != nil {
		s.QuorumFault = a.told(err).Error()
		if errors.Is(a.told(err), ErrForbidden) {
			return s, a.told(err)
		}
	}
	if s.Quorum {
		if err := a.decided(ctx, &s); err != nil {
			return s, a.told(err)
		}
	}
	// What a member has by itself may be old, and is better than nothing.
	s.Keys, err = a.count(ctx, !s.Quorum)
	return s, a.told(err)
}

// memberList is any one member's view: it comes without a quorum too.
func (a *Admin) memberList(ctx context.Context) (*clientv3.MemberListResponse, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	return a.client.MemberList(ctx, clientv3.WithSerializable())
}

func (a *Admin) head(ctx context.Context, s *Status) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	resp, err := a.client.Get(ctx, versionPrefix, clientv3.WithCountOnly())
	if err != nil {
		return err
	}
	s.Quorum, s.Revision = true, resp.Header.Revision
	return nil
}

// decided are answers that need a quorum.
func (a *Admin) decided(ctx context.Context, s *Status) error {
	on, err := a.authOn(ctx)
	if err != nil {
		return fmt.Errorf("asking whether authentication is on: %w", err)
	}
	s.Auth, s.AuthKnown = on, true
	ctx, cancel := a.within(ctx)
	defer cancel()
	resp, err := a.client.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("asking for alarms: %w", err)
	}
	for _, al := range resp.Alarms {
		s.Alarms = append(s.Alarms, Alarm{Member: nameOf(s.Members, al.MemberID), Kind: al.Alarm.String()})
	}
	return nil
}

func nameOf(members []Member, id uint64) string {
	for _, m := range members {
		if m.ID == id && m.Name != "" {
			return m.Name
		}
	}
	return fmt.Sprintf("%x", id)
}

// members asks each member by its own address, or by one of ours if that is it.
func (a *Admin) members(ctx context.Context, list []*pb.Member) []Member {
	known := a.answers(ctx)
	var out []Member
	for _, m := range list {
		row := Member{ID: m.ID, Name: m.Name, Learner: m.IsLearner, PeerURLs: strings.Join(m.PeerURLs, ",")}
		if found, ok := known[m.ID]; ok {
			row.take(found.endpoint, found.resp)
		} else {
			a.askAt(ctx, &row, m.ClientURLs)
		}
		out = append(out, row)
	}
	slices.SortFunc(out, func(x, y Member) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) })
	return out
}

func (a *Admin) askAt(ctx context.Context, m *Member, urls []string) {
	if len(urls) == 0 {
		m.Fault = "it has been added and has not started yet"
		return
	}
	for _, u := range urls {
		m.Endpoint = u
		if _, err := a.knock(ctx, u); err != nil {
			m.Fault = err.Error()
			continue
		}
		resp, err := a.ask(ctx, u)
		if err != nil {
			m.Fault = err.Error()
			continue
		}
		m.take(u, resp)
		return
	}
}

type answer struct {
	endpoint string
	resp     *clientv3.StatusResponse
}

// answers are what the given endpoints say, by the member that stands behind each.
func (a *Admin) answers(ctx context.Context) map[uint64]answer {
	out := map[uint64]answer{}
	for _, e := range a.cfg.Endpoints {
		if _, err := a.knock(ctx, e); err != nil {
			continue // it turns up as a member that does not answer
		}
		if resp, err := a.ask(ctx, e); err == nil {
			out[resp.Header.MemberId] = answer{e, resp}
		}
	}
	return out
}

func (a *Admin) ask(ctx context.Context, endpoint string) (*clientv3.StatusResponse, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	return a.client.Status(ctx, endpoint)
}

func (m *Member) take(endpoint string, r *clientv3.StatusResponse) {
	m.Endpoint, m.Fault = endpoint, ""
	m.Sees, m.Leader, m.Learner = r.Leader, r.Leader == m.ID, r.IsLearner
	m.Version, m.DBBytes, m.UsedBytes, m.QuotaBytes = r.Version, r.DbSize, r.DbSizeInUse, r.DbSizeQuota
	m.Applied = r.RaftAppliedIndex
}

// count reads the keys of all federations. local asks one member alone.
func (a *Admin) count(ctx context.Context, local bool) ([]KeyCount, error) {
	all := tally{}
	from, to := below(versionPrefix)
	if err := a.keysOf(ctx, from, to, local, all.add); err != nil {
		return []KeyCount{}, fmt.Errorf("counting keys: %w", err)
	}
	return all.list(), nil
}

// keysOf calls add for each key of a range, page by page.
func (a *Admin) keysOf(ctx context.Context, from, to string, local bool, add func(string)) error {
	opts := []clientv3.OpOption{clientv3.WithKeysOnly(), clientv3.WithLimit(keysPage)}
	if to != "" {
		opts = append(opts, clientv3.WithRange(to))
	}
	if local {
		opts = append(opts, clientv3.WithSerializable())
	}
	for {
		resp, err := a.page(ctx, from, opts)
		if err != nil {
			return err
		}
		for _, kv := range resp.Kvs {
			add(string(kv.Key))
		}
		if !resp.More || len(resp.Kvs) == 0 {
			return nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

func (a *Admin) page(ctx context.Context, from string, opts []clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	return a.client.Get(ctx, from, opts...)
}
