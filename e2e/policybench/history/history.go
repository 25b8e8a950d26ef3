package history

import "time"

// Value is what a key holds. Its zero value is nothing.
type Value struct {
	// ID is the author's mark, unique in the history; 0 is no value.
	ID int
	// Place is the one in the global order; 0 is unknown.
	Place uint64
}

// Kind is what an operation asked for.
type Kind int

// The kinds.
const (
	Put Kind = iota
	Delete
	Read
)

// Operation is what one client asked of one key, and what it was told.
type Operation struct {
	Client int
	Key    string
	Kind   Kind
	// Value is what was put, with the place that came back, or what was read.
	Value Value
	// Revision is what the store said of a put; 0 if it did not.
	Revision uint64
	// Called and Returned are on one monotonic clock.
	Called, Returned time.Duration
	// Unknown: an error came back, so it may have happened, then or later, or never.
	Unknown bool
}

// Event is one change in the store's own log. A value without ID is a deletion.
type Event struct {
	Revision uint64
	Key      string
	Value    Value
}

// View is what a watcher was told, once.
type View struct {
	Revision uint64
	Values   map[string]Value
}

// History is what was recorded of one run.
type History struct {
	Operations []Operation
	// Log is the store's, complete from the first revision on, as a bystander saw it who
	// was never away.
	Log []Event
	// Views are each watcher's, in the order in which it was told.
	Views map[string][]View
}
