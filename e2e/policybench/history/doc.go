// Package history says what a recorded history of a policy store must look like.
//
// It owns the record's form and the checks. It leaves to others how authors, watchers
// and faults are run. It is pure: values in, violations out; any goroutine may call it.
//
// The guarantees, by the names under which violations are reported:
//
//	Ordered       revisions of the log rise, and a key's place in the order is written once:
//	              it stays as long as the key does, and a later first publication has a
//	              higher place
//	Unique        no two keys have the same place in the order; nothing is written twice
//	Reliable      every acknowledged write is in the log, and in the end every watcher holds
//	              what the log ends with
//	Atomic        what a watcher holds at a revision is the log up to there, no more and no
//	              less: a delete that was missed, or an event that was applied twice, shows
//	Monotonic     a watcher's revision never goes back
//	Linearizable  writes and reads of one key fit into one order that respects real time
//
// Resumable, that a watcher which was away has neither missed nor doubled anything, is
// Atomic, Monotonic and Reliable together, in a run that sends watchers away.
package history
