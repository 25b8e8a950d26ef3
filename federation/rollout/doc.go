// Package rollout says which version of a policy holds in a cluster (InForce), what the
// coordinator of rollouts does next (Step), and how far a rollout has come (Progress).
//
// It owns the meaning of a policy's plan, history, undo and hold, and of the one record
// that the coordinator keeps of each rollout. It leaves to others where the values come
// from, who the coordinator is, how its writes are fenced (federation/policystore), and
// what a version does to traffic (federation/routing).
//
// Everything is a pure function of its arguments: no I/O, no clock, no goroutine;
// callable from anywhere at once. Nothing that is passed in is changed.
//
// What holds in a cluster; the first row that fits decides:
//
//	undo names a version of the history          that one                  Undone
//	no plan                                      the newest                NoPlan
//	the record speaks of the newest version, and is
//	  completed                                  the newest                Completed
//	  rolled back                                the one before            RolledBack
//	  on its way, and has come to the cluster    the newest                WaveReached
//	  on its way elsewhere                       the one before            WaveAwaited
//	the history begins with the newest itself    the newest                HeldBefore
//	the record speaks of an earlier version      what it brought here      AwaitsCoordinator
//	there is no record                           the history's first       AwaitsCoordinator
//	there is no history                          none                      NotYet
//
// A version that is needed and no longer known is replaced by the record's other one if
// that held everywhere once, which only its From did; else none holds (VersionLost).
// What nobody knows cannot be put in force, and the versions that are known were not let
// through by any gate. Trim keeps this from happening.
//
// A history that begins with the newest version itself is how a publisher says that the
// version was in force without a plan when it was given one.
//
// Invariants:
//  1. All that holds anywhere at one revision of the store is a rollout's To and From,
//     but for an undo: then it is one version everywhere.
//  2. Completed: To holds in every cluster. RolledBack: To holds in none.
//  3. A wave begins after all present clusters of those before it have said that they
//     have the change, and after the bake time. Waves come in order, and no cluster that
//     left a version is given it again by the same rollout.
//  4. Equal inputs that already show what was decided give no further writes; whichever
//     coordinator decides, and how often they change, comes to the same end.
//  5. A version that tightens residency or authorization (Tightens) holds at once, and
//     nothing brings back one that is looser than it.
package rollout
