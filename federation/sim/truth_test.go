package sim

import (
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

func record(epoch, sequence uint64, ready uint32, withdrawn bool) federation.HeldRecord {
	return federation.HeldRecord{HealthRecord: federation.HealthRecord{
		Cluster: "c1", Port: servicePort(0), Version: federation.Version{Epoch: epoch, Sequence: sequence},
		Ready: ready, Total: 9, Withdrawn: withdrawn,
	}}
}

// spoken is a ledger in which c1 said 3, then 5, then withdrew, in its first reign.
func spoken() *ledger {
	l := newLedger()
	for i, r := range []federation.HeldRecord{record(1, 1, 3, false), record(1, 2, 5, false), record(1, 3, 0, true)} {
		l.note(reign{"c1", 1}, map[federation.ServicePort]federation.HeldRecord{r.Port: r}, time.Duration(i))
	}
	return l
}

func TestTheLedgerSupportsOnlyWhatWasSaid(t *testing.T) {
	l := spoken()
	for _, c := range []struct {
		r    federation.HeldRecord
		want bool
	}{
		{record(1, 1, 3, false), true}, {record(1, 2, 5, false), true}, {record(1, 3, 0, true), true},
		{record(1, 1, 5, false), false}, {record(1, 4, 5, false), false}, {record(2, 1, 3, false), false},
		{record(1, 3, 5, false), false}, {record(1, 2, 0, true), false},
	} {
		if err := l.supports(c.r.HealthRecord); (err == nil) != c.want {
			t.Errorf("%+v: %v", c.r.HealthRecord, err)
		}
	}
}

func TestTheLedgerTellsWhetherALiveRecordMayGo(t *testing.T) {
	l := spoken()
	if !l.dropped("c1", servicePort(0), federation.Version{Epoch: 1, Sequence: 2}) {
		t.Error("it was withdrawn at 1.3")
	}
	if l.dropped("c1", servicePort(0), federation.Version{Epoch: 1, Sequence: 3}) || l.dropped("c2", servicePort(0), federation.Version{}) {
		t.Error("nothing newer was said")
	}
}

func TestTheConeFollowsOpenWaysOverOthers(t *testing.T) {
	c := newCone(3)
	all := func(int) bool { return true }
	c.spread(1, all, func(from, to int) bool { return from == 0 && to == 1 || from == 1 && to == 2 })
	if c.know[2][0] != 1 || c.know[0][2] != 0 {
		t.Errorf("%v", c.know)
	}
	c.spread(2, func(i int) bool { return i != 0 }, func(int, int) bool { return true })
	if c.know[2][0] != 1 || c.know[2][1] != 2 {
		t.Errorf("%v: the first has died", c.know)
	}
	c.forget(2)
	if c.know[2][0] != 0 {
		t.Errorf("%v", c.know)
	}
}

// at brings tunnels to a moment and says what a's gateway reports of b's.
func (t *tunnels) at(now time.Duration, a, b int) routing.PathReport {
	return t.reports(a, now)[b]
}

func TestTunnelsTellEachKindOfSilence(t *testing.T) {
	const settled = 5 * time.Second
	for _, c := range []struct {
		name       string
		injure     func(*tunnels)
		from, back routing.PathReport
	}{
		{"nothing", func(*tunnels) {}, routing.PathReport{State: routing.PathUp}, routing.PathReport{State: routing.PathUp}},
		{"one way", func(n *tunnels) { n.addCut(0, 1, 1) }, routing.PathReport{State: routing.PathDown, Unheard: true}, routing.PathReport{State: routing.PathDown}},
		{"gone", func(n *tunnels) { n.setGateway(1, gatewayGone) }, routing.PathReport{State: routing.PathDown, Refused: true}, routing.PathReport{}},
		{"hung", func(n *tunnels) { n.setGateway(1, gatewayHung) }, routing.PathReport{State: routing.PathDown, Hung: true}, routing.PathReport{}},
		{"dark", func(n *tunnels) { n.setGateway(1, gatewayDark) }, routing.PathReport{State: routing.PathDown}, routing.PathReport{}},
	} {
		n := newTunnels(2)
		n.update(0)
		n.update(settled)
		c.injure(n)
		n.update(settled + 1)
		if got := n.at(settled+1, 0, 1); got.State != routing.PathUp {
			t.Errorf("%s: %s at once", c.name, got.State)
		}
		n.update(2 * settled)
		for want, got := range map[routing.PathReport]routing.PathReport{c.from: n.at(2*settled, 0, 1), c.back: n.at(2*settled, 1, 0)} {
			if got.State != want.State || got.Unheard != want.Unheard || got.Refused != want.Refused || got.Hung != want.Hung {
				t.Errorf("%s: %+v, want %+v", c.name, got, want)
			}
		}
	}
}
