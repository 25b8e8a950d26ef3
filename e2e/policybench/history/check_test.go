package history

import (
	"strings"
	"testing"
	"time"
)

// sound is a history without a fault: two keys, one deleted and published again, and a
// watcher that slept through some of it.
func sound() History {
	x1, x2, y := Value{1, 1}, Value{2, 1}, Value{3, 2}
	again := Value{4, 3}
	at := func(n int) time.Duration { return time.Duration(n) * time.Second }
	return History{
		Operations: []Operation{
			{Key: "x", Value: x1, Revision: 10, Called: at(1), Returned: at(2)},
			{Key: "x", Value: x2, Revision: 11, Called: at(3), Returned: at(4)},
			{Key: "y", Value: y, Called: at(3), Returned: at(5)},
			{Key: "x", Kind: Delete, Called: at(6), Returned: at(7)},
			{Key: "x", Kind: Read, Called: at(8), Returned: at(9)},
			{Key: "x", Value: Value{ID: 4}, Called: at(10), Returned: at(11), Unknown: true},
			{Key: "x", Kind: Read, Value: again, Called: at(12), Returned: at(13)},
			{Key: "y", Value: Value{ID: 5}, Called: at(10), Returned: at(11), Unknown: true},
			{Key: "y", Kind: Read, Called: at(12), Returned: at(13), Unknown: true},
		},
		Log: []Event{{10, "x", x1}, {11, "x", x2}, {12, "y", y}, {13, "x", Value{}}, {15, "x", again}},
		Views: map[string][]View{"w": {
			{9, map[string]Value{}},
			{10, map[string]Value{"x": x1}},
			{11, map[string]Value{"x": x2}},
			{14, map[string]Value{"y": y}},
			{15, map[string]Value{"y": y, "x": again}},
		}},
	}
}

func TestSoundHistoryPasses(t *testing.T) {
	if v := Check(sound()); len(v) > 0 {
		t.Error(strings.Join(v, "\n"))
	}
}

// Each guarantee is seen not to hold when it does not.
func TestBrokenHistoryIsCaught(t *testing.T) {
	for name, c := range map[string]struct {
		guarantee string
		damage    func(*History)
	}{
		"a delete is missed after a compaction":   {"Atomic", func(h *History) { h.Views["w"][3].Values["x"] = Value{2, 1} }},
		"an event is applied twice, out of order": {"Atomic", func(h *History) { h.Views["w"][4].Values["x"] = Value{1, 1} }},
		"half a transaction is shown":             {"Atomic", func(h *History) { h.Log[1].Revision, h.Log[0].Revision = 10, 10; h.Operations[1].Revision = 10 }},
		"a watcher goes back":                     {"Monotonic", func(h *History) { h.Views["w"] = append(h.Views["w"], h.Views["w"][3]) }},
		"a watcher never catches up":              {"Reliable", func(h *History) { h.Views["w"] = h.Views["w"][:4] }},
		"an acknowledged write is lost":           {"Reliable", func(h *History) { h.Log = append(h.Log[:2:2], h.Log[3:]...) }},
		"an author is told another place":         {"Reliable", func(h *History) { h.Operations[2].Value.Place = 7 }},
		"an author is told another revision":      {"Reliable", func(h *History) { h.Operations[1].Revision = 12 }},
		"a write is made twice":                   {"Unique", func(h *History) { h.Log = append(h.Log, Event{16, "y", Value{3, 2}}) }},
		"a write is nobody's":                     {"Unique", func(h *History) { h.Log = append(h.Log, Event{16, "y", Value{9, 2}}) }},
		"two keys have one place":                 {"Unique", func(h *History) { h.Log[2].Value.Place = 1 }},
		"a key moves":                             {"Ordered", func(h *History) { h.Log[1].Value.Place = 8 }},
		"a later key gets an earlier place":       {"Ordered", func(h *History) { h.Log[0].Value.Place, h.Log[1].Value.Place = 5, 5 }},
		"the log goes back":                       {"Ordered", func(h *History) { h.Log[4].Revision = 1 }},
		"a read shows what was deleted":           {"Linearizable", func(h *History) { h.Operations[4].Value = Value{2, 1} }},
		"a read shows another place":              {"Linearizable", func(h *History) { h.Operations[6].Value.Place = 9; h.Operations[5].Value.Place = 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			h := sound()
			c.damage(&h)
			if got := strings.Join(Check(h), "\n"); !strings.Contains(got, c.guarantee+": ") {
				t.Errorf("want %s, got: %s", c.guarantee, got)
			}
		})
	}
}
