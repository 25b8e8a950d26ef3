package history

import (
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience bounds the search for an order.
const patience = 30 * time.Second

// linearizable asks for one order for each key.
func (r *report) linearizable(all []Operation) {
	byKey := map[string][]porcupine.Operation{}
	for _, o := range all {
		if o.Kind == Read && o.Unknown {
			continue // told nothing
		}
		returned := int64(o.Returned)
		if o.Unknown {
			returned = math.MaxInt64
		}
		byKey[o.Key] = append(byKey[o.Key], porcupine.Operation{
			ClientId: o.Client, Input: o, Call: int64(o.Called), Output: o, Return: returned,
		})
	}
	for key, ops := range byKey {
		switch porcupine.CheckOperationsTimeout(register, ops, patience) {
		case porcupine.Illegal:
			r.add("Linearizable", "no order of the %d operations on %s fits what was told", len(ops), key)
		case porcupine.Unknown:
			r.add("Linearizable", "no answer within %s for the %d operations on %s: record fewer", patience, len(ops), key)
		}
	}
}

// register is one key: a value that keeps its place until it is deleted.
var register = porcupine.Model{
	Init: func() any { return Value{} },
	Step: func(state, input, _ any) (bool, any) {
		held, o := state.(Value), input.(Operation)
		switch o.Kind {
		case Delete:
			return true, Value{}
		case Read:
			return held.ID == o.Value.ID && samePlace(held, o.Value), o.Value
		}
		if held.ID == 0 {
			return true, o.Value
		}
		// A put whose outcome is not known has no place of its own to tell.
		return samePlace(held, o.Value), Value{ID: o.Value.ID, Place: max(held.Place, o.Value.Place)}
	},
	Equal: func(a, b any) bool { return a == b },
}

func samePlace(a, b Value) bool { return a.Place == 0 || b.Place == 0 || a.Place == b.Place }
