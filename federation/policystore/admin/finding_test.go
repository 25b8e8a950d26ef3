package admin_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation/policystore/admin"
)

// healthy is a store that nothing is to be said about.
func healthy() admin.Status {
	s := admin.Status{Quorum: true, AuthKnown: true, Auth: true}
	for i, name := range []string{"one", "two", "three"} {
		s.Members = append(s.Members, admin.Member{ID: uint64(i + 1), Name: name, Version: "3.7.3", Sees: 1, QuotaBytes: 1 << 30, DBBytes: 1 << 20, UsedBytes: 1 << 20})
	}
	return s
}

func TestEachTroubleHasALineThatSaysWhatToDo(t *testing.T) {
	if f := healthy().Findings(); len(f) > 0 {
		t.Errorf("a healthy store:\n%s", text(f))
	}
	for want, change := range map[string]func(*admin.Status){
		"CRITICAL no quorum: 1 of 3": func(s *admin.Status) {
			s.Quorum, s.Members[0].Fault, s.Members[1].Fault = false, "down", "down"
		},
		"CRITICAL alarm NOSPACE":             func(s *admin.Status) { s.Alarms = []admin.Alarm{{Member: "one", Kind: "NOSPACE"}} },
		"CRITICAL alarm CORRUPT":             func(s *admin.Status) { s.Alarms = []admin.Alarm{{Member: "one", Kind: "CORRUPT"}} },
		"WARNING 2 of 3 voting members":      func(s *admin.Status) { s.Members[0].Fault = "down" },
		"WARNING member one does not answer": func(s *admin.Status) { s.Members[0].Fault = "down" },
		"WARNING member one sees no leader":  func(s *admin.Status) { s.Members[0].Sees = 0 },
		"WARNING member one still learns":    func(s *admin.Status) { s.Members[0].Learner = true },
		"WARNING member one has used 90 %": func(s *admin.Status) {
			s.Members[0].DBBytes, s.Members[0].UsedBytes = 90<<20, 90<<20
			s.Members[0].QuotaBytes = 100 << 20
		},
		"NOTE more than half of member one's": func(s *admin.Status) { s.Members[0].DBBytes = 100 << 20 },
		"WARNING member one is 5000 entries":  func(s *admin.Status) { s.Members[1].Applied, s.Members[2].Applied = 5000, 5000 },
		"WARNING 2 voting members":            func(s *admin.Status) { s.Members = s.Members[:2] },
		"NOTE one member":                     func(s *admin.Status) { s.Members = s.Members[:1] },
		"WARNING authentication is off":       func(s *admin.Status) { s.Auth = false },
		"NOTE members run different versions": func(s *admin.Status) { s.Members[0].Version = "3.6.0" },
	} {
		s := healthy()
		change(&s)
		all := text(s.Findings())
		if !strings.Contains(all, want) {
			t.Errorf("%q is missing in:\n%s", want, all)
		}
		if critical := strings.HasPrefix(want, "CRITICAL"); s.Critical() != critical {
			t.Errorf("%q: critical %t", want, s.Critical())
		}
		for _, f := range s.Findings() {
			if f.Do == "" {
				t.Errorf("%q says nothing about what to do", f.What)
			}
		}
	}
}

func TestStatusCountsKeysByKindAndCluster(t *testing.T) {
	r := newRig(t).start()
	c := r.raw("root")
	for _, key := range []string{"members/a", "exports/a/x/y", "exports/a/x/z", "exports/ab/x/y", "policies/a/x/y", "rollouts/a/x/y", "presence/a", "order", "accepted", "trial", "trial-held", "elections/rollouts/6a7b", "later/thing"} {
		_, err := c.Put(t.Context(), prod+key, "1")
		must(t, err)
	}
	root, _ := r.open("root")
	s, err := root.Status(t.Context())
	must(t, err)
	one := func(kind, cluster string, n int) admin.KeyCount {
		return admin.KeyCount{Federation: "prod", Kind: kind, Cluster: cluster, Keys: n}
	}
	want := []admin.KeyCount{
		one("accepted", "", 1), one("elections", "", 1), one("exports", "a", 2), one("exports", "ab", 1), one("members", "a", 1), one("order", "", 1),
		one("other", "", 1), one("policies", "a", 1), one("presence", "a", 1), one("rollouts", "a", 1), one("trial", "", 1), one("trial-held", "", 1),
	}
	if diff := cmp.Diff(want, s.Keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	m := s.Members[0]
	if !s.Quorum || s.Critical() || !m.Leader || m.Version == "" || m.QuotaBytes != 512<<20 || m.DBBytes == 0 {
		t.Errorf("status %+v", s)
	}
}
