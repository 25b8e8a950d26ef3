// Package load is an open-loop client with a record: it starts a request at each
// scheduled moment whether or not earlier ones have ended, and keeps what became
// of every one. Recovery times are computed from that record and nothing else.
//
// It owns the schedule, the record and the arithmetic on it. It leaves to others
// how a request is made.
//
// Run starts one goroutine per request and waits for all; the record is complete
// when it returns. The arithmetic is pure.
//
// Invariants:
//  1. Latency counts from the scheduled moment (no coordinated omission).
//  2. A request that has not ended counts as failed.
package load
