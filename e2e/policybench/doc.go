// Package policybench asks the policy store's client, federation/policystore, two things
// beside a real etcd: how fast it is, compared with a bare watch in the same run (`make
// bench-policy`), and whether what it says is true while members are killed and history
// is compacted (`make policy-histories`).
//
// It owns the etcd processes, the cuts between them and a client, the fleets of clients
// and what is recorded of them. What a recorded history must look like is history's to
// say.
//
// The figures are in files with the build tag bench. Start and NewCut start what they
// return; Close of each ends it. All methods may be called from any goroutine.
//
// Invariants:
//  1. Every etcd process dies with this one.
//  2. Nothing listens or dials outside 127.0.0.1.
//  3. A run that offered less than its minimum load fails: it gives no figure.
package policybench
