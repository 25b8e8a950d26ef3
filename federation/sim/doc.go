// Package sim lets whole federations live through faults in virtual time and checks
// after every step what must never be: the simulation of docs/simulation.md.
//
// It owns the seeded world (who is where, what goes wrong when, what each cluster's
// endpoints do), the truth that readers are measured against, and the invariants. What
// is measured is production code, unchanged: federation/gossip with memberlist and mTLS
// over federation/sim/memnet, federation/liveness and federation/routing. One part is a
// model: what gateways see of each other's (tunnels). It leaves to others the etcd store,
// the route feed and the gateways.
//
// Run belongs into a bubble of testing/synctest; it starts goroutines and ends them all.
// Draw and Plan are pure.
//
// The invariants, by the names under which violations are reported; FAULTS.md's in brackets:
//
//	stated                    no reader holds what its owner never stated at that epoch and sequence
//	order                     per reader and record, (epoch, sequence) never goes back, and what is
//	                          withdrawn comes back only by a newer statement [I5]
//	kept                      a live record goes from a reader only by its owner's newer statement
//	age                       no record looks younger than the newest word of its owner that can have
//	                          reached the reader, the time on the way aside
//	no false verdict          who is up, ways, gateways and operators, is Reachable
//	no verdict without proof  who has been cut off for longer than a proof counts is not
//	no false death            gossip takes nobody for dead who has been up, while segments arrive in time
//	told in time              what its owner says is not ready is no target after 500 ms and one way [I1]
//	home first                without a policy, what is ready at home is served at home [I2]
//	fail static               only the owner's word, a dead path under a policy that withdraws, or a
//	                          policy's bound on ages takes out a target or puts it last [I3]
//	quiet                     in the last seconds, long after the last fault, no choice changes [I6]
//	never all off             without such a policy somebody is always left
//	forbidden                 no target that its owner's word or a policy rules out
//	convergence               after the faults all live clusters hold what each of them says
//	death known               after the faults all know who is dead, and that it is the whole cluster
package sim
