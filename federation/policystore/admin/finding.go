package admin

import (
	"fmt"
	"slices"
)

// Severity says how much a finding matters.
type Severity string

// The severities: Critical now, Warning soon, Note when there is time.
const (
	Critical Severity = "CRITICAL"
	Warning  Severity = "WARNING"
	Note     Severity = "NOTE"
)

// Finding is one thing about a store, and what to do about it.
type Finding struct {
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	Do       string   `json:"do"`
}

// lagEntries is how far behind the furthest a member may be before it is worth a line:
// etcd keeps 5 000 entries for those who lag, then they need a whole snapshot.
const lagEntries = 1000

// Critical says whether somebody must act now.
func (s Status) Critical() bool {
	return slices.ContainsFunc(s.Findings(), func(f Finding) bool { return f.Severity == Critical })
}

// Findings are what to say about a store, the worst first. Pure.
func (s Status) Findings() []Finding {
	var out []Finding
	out = append(out, s.quorumFindings()...)
	out = append(out, s.alarmFindings()...)
	for _, m := range s.Members {
		out = append(out, s.memberFindings(m)...)
	}
	out = append(out, s.shapeFindings()...)
	rank := []Severity{Critical, Warning, Note}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return slices.Index(rank, a.Severity) - slices.Index(rank, b.Severity)
	})
	return out
}

// voters counts members that vote, and those of them that answer.
func (s Status) voters() (all, alive int) {
	for _, m := range s.Members {
		if m.Learner {
			continue
		}
		all++
		if m.Fault == "" {
			alive++
		}
	}
	return all, alive
}

func (s Status) quorumFindings() []Finding {
	all, alive := s.voters()
	switch {
	case !s.Quorum:
		return []Finding{{Critical, fmt.Sprintf("no quorum: %d of %d voting members answer, %d are needed (%s)", alive, all, all/2+1, s.QuorumFault),
			"start the members below that do not answer; if most are lost for good, restore a backup. Routing goes on with what is known"}}
	case alive < all && alive == all/2+1:
		return []Finding{{Warning, fmt.Sprintf("%d of %d voting members answer: not one more may fail", alive, all), "start the members below that do not answer"}}
	}
	return nil
}

func (s Status) alarmFindings() []Finding {
	var out []Finding
	for _, a := range s.Alarms {
		f := Finding{Critical, fmt.Sprintf("alarm %s of member %s", a.Kind, a.Member), "see etcd's documentation of this alarm"}
		switch a.Kind {
		case "NOSPACE":
			f.What += ": the store takes no writes"
			f.Do = "raise the quota, or compact and defragment (etcdctl compact REVISION; etcdctl defrag --cluster), then etcdctl alarm disarm"
		case "CORRUPT":
			f.What += ": its data differs from the others'"
			f.Do = "stop that member, remove it, empty its data directory and add it again"
		}
		out = append(out, f)
	}
	return out
}

func (s Status) memberFindings(m Member) []Finding {
	name := nameOf(s.Members, m.ID)
	if m.Fault != "" {
		return []Finding{{Warning, fmt.Sprintf("member %s does not answer (%s)", name, m.Fault), "start it, or check that its address can be reached from here; if it is lost for good, remove it (etcdctl member remove) and add another"}}
	}
	var out []Finding
	if m.Sees == 0 {
		out = append(out, Finding{Warning, fmt.Sprintf("member %s sees no leader", name), "check that the members reach each other's peer addresses"})
	}
	if m.Learner {
		out = append(out, Finding{Warning, fmt.Sprintf("member %s still learns and has no vote", name), "run `causewayctl store add-member` for it again: it waits until it has caught up, and gives it its vote"})
	}
	if m.QuotaBytes > 0 && m.DBBytes > m.QuotaBytes/5*4 {
		out = append(out, Finding{Warning, fmt.Sprintf("member %s has used %d %% of its quota", name, 100*m.DBBytes/m.QuotaBytes), "see `causewayctl store compact-check`; raise --quota-bytes, or defragment (etcdctl defrag --cluster)"})
	}
	if m.DBBytes > 64<<20 && m.UsedBytes < m.DBBytes/2 {
		out = append(out, Finding{Note, fmt.Sprintf("more than half of member %s's file is empty", name), "etcdctl defrag gives the space back; it stops that member for a moment, the leader last"})
	}
	if most := s.applied(); most > m.Applied+lagEntries {
		out = append(out, Finding{Warning, fmt.Sprintf("member %s is %d entries behind", name, most-m.Applied), "look at its disk and at its network"})
	}
	return out
}

func (s Status) applied() (most uint64) {
	for _, m := range s.Members {
		most = max(most, m.Applied)
	}
	return most
}

func (s Status) shapeFindings() []Finding {
	var out []Finding
	all, _ := s.voters()
	switch {
	case all == 1:
		out = append(out, Finding{Note, "one member: when it is down, nothing can be changed anywhere", "grow to three with `causewayctl store add-member`"})
	case all%2 == 0:
		out = append(out, Finding{Warning, fmt.Sprintf("%d voting members bear no more failures than %d, and need one more to agree", all, all-1), "add one, or remove one"})
	}
	if s.AuthKnown && !s.Auth {
		out = append(out, Finding{Warning, "authentication is off: every cluster may write everything", "run `causewayctl store add-cluster` for each cluster, then `causewayctl store init`"})
	}
	versions := map[string]bool{}
	for _, m := range s.Members {
		if m.Fault == "" {
			versions[m.Version] = true
		}
	}
	if len(versions) > 1 {
		out = append(out, Finding{Note, "members run different versions", "finish the upgrade"})
	}
	return out
}
