package history

import (
	"fmt"
	"maps"
	"slices"
)

// Check returns each violation as "Guarantee: what was seen".
func Check(h History) []string {
	var out report
	out.log(h.Log)
	out.writes(h)
	for _, name := range slices.Sorted(maps.Keys(h.Views)) {
		out.watcher(name, h.Views[name], h.Log)
	}
	out.linearizable(h.Operations)
	return out
}

type report []string

func (r *report) add(guarantee, format string, args ...any) {
	*r = append(*r, guarantee+": "+fmt.Sprintf(format, args...))
}

// log checks what the store did, whoever looked.
func (r *report) log(log []Event) {
	held, places, ids := map[string]Value{}, map[uint64]string{}, map[int]bool{}
	revision, highest := uint64(0), uint64(0)
	for _, e := range log {
		if e.Revision < revision {
			r.add("Ordered", "revision %d comes after %d", e.Revision, revision)
		}
		revision = e.Revision
		if e.Value.ID == 0 {
			delete(held, e.Key)
			continue
		}
		if ids[e.Value.ID] {
			r.add("Unique", "value %d is written once more at revision %d", e.Value.ID, e.Revision)
		}
		ids[e.Value.ID] = true
		before, there := held[e.Key]
		held[e.Key] = e.Value
		switch {
		case there && before.Place != e.Value.Place:
			r.add("Ordered", "%s moved from place %d to %d at revision %d", e.Key, before.Place, e.Value.Place, e.Revision)
		case there:
		case places[e.Value.Place] != "":
			r.add("Unique", "%s and %s both have place %d", places[e.Value.Place], e.Key, e.Value.Place)
		case e.Value.Place <= highest:
			r.add("Ordered", "%s first appears at place %d, after one at %d", e.Key, e.Value.Place, highest)
		}
		places[e.Value.Place], highest = e.Key, max(highest, e.Value.Place)
	}
}

// writes compares what authors were told with the log.
func (r *report) writes(h History) {
	logged := map[int]Event{}
	for _, e := range h.Log {
		if e.Value.ID != 0 {
			logged[e.Value.ID] = e
		}
	}
	asked := map[int]bool{}
	for _, o := range h.Operations {
		if o.Kind != Put {
			continue
		}
		asked[o.Value.ID] = true
		e, there := logged[o.Value.ID]
		switch {
		case o.Unknown:
		case !there:
			r.add("Reliable", "value %d of %s was acknowledged and is not in the log", o.Value.ID, o.Key)
		case e.Key != o.Key || e.Value.Place != o.Value.Place || o.Revision != 0 && o.Revision != e.Revision:
			r.add("Reliable", "value %d of %s was acknowledged as %+v at revision %d; the log has %+v", o.Value.ID, o.Key, o.Value, o.Revision, e)
		}
	}
	for id, e := range logged {
		if !asked[id] {
			r.add("Unique", "value %d of %s at revision %d was written by nobody", id, e.Key, e.Revision)
		}
	}
}

// watcher replays the log beside what one watcher was told.
func (r *report) watcher(name string, views []View, log []Event) {
	truth, applied, revision := map[string]Value{}, 0, uint64(0)
	for _, v := range views {
		if v.Revision < revision {
			r.add("Monotonic", "%s went from revision %d back to %d", name, revision, v.Revision)
			return // the truth cannot be rewound; one violation is enough
		}
		revision = v.Revision
		applied += advance(truth, log[applied:], revision)
		if !maps.Equal(truth, v.Values) {
			r.add("Atomic", "%s at revision %d: %s", name, revision, difference(truth, v.Values))
			return
		}
	}
	if rest := advance(truth, log[applied:], ^uint64(0)); rest > 0 {
		r.add("Reliable", "%s ended at revision %d and has missed %d events", name, revision, rest)
	}
}

// advance applies the events up to a revision and says how many they were.
func advance(values map[string]Value, log []Event, revision uint64) (n int) {
	for _, e := range log {
		if e.Revision > revision {
			break
		}
		if n++; e.Value.ID == 0 {
			delete(values, e.Key)
		} else {
			values[e.Key] = e.Value
		}
	}
	return n
}

func difference(truth, seen map[string]Value) (text string) {
	keys := maps.Clone(truth)
	maps.Copy(keys, seen)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if truth[k] != seen[k] {
			text += fmt.Sprintf("%s is %+v, seen %+v; ", k, truth[k], seen[k])
		}
	}
	return text
}
