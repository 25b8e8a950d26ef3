// Package liveness fuses what several witnesses saw of another cluster into one
// verdict with a cause and an age: the local gateways' tunnel beats, the
// membership that gossip keeps, the owner's own statements, its registration, and
// as hints what other clusters say of their own ways to it.
//
// It owns the reading of evidence and the damping of flaps. It leaves to others how
// evidence is gathered and what a verdict means for traffic (federation/routing).
//
// Judge is pure: no clock, no I/O; callable from any goroutine.
//
// The truth table; the first row that fits decides. "Up" is a path with a proof
// younger than ProofMaxAge; "down" is all paths of all local gateways down; "speaks"
// is an owner's statement younger than StatementMaxAge; a hint counts while it is
// younger than HintMaxAge.
//
//	tunnels   and besides                                   verdict           reason
//	all peers silent at once (two or more, no host          Unknown           SelfSuspected
//	  answers, no owner was heard since)
//	up        came back within 30 s, fell, answers again    as it was         Flapping
//	up        every gateway that answers says it is going   Draining          Draining
//	up        its registration says its API server is lost  ControlPlaneDown  APIServerLost
//	up        no owner speaks, of two or more once heard    Reachable         NobodySpeaks
//	up        its owner spoke once, and no longer           ControlPlaneDown  OwnerSilent
//	up        gossip counts it dead, it does not speak      ControlPlaneDown  LeftGossip
//	up        otherwise                                     Reachable         Answers
//	down      every host refuses                            GatewayDown       Refused
//	down      every host answers, no gateway does           GatewayDown       Hung
//	down      it does not speak, nobody reaches it, and     ClusterDown       NobodyReachesIt
//	            gossip counts it dead or others say down
//	down      its beats went on reaching us                 LinkDown          TheyDoNotHearUs
//	down      it says that ours went on reaching it         LinkDown          WeDoNotHearThem
//	down      another cluster reaches it                    LinkDown          OthersReachIt
//	down      its owner spoke since, and all others that    GatewayDown       NobodyReachesIt
//	            can tell say down
//	down      otherwise                                     LinkDown          Silent
//	unknown   it has registered no gateway                  Unknown           NoGateways
//	unknown   no local gateway has reported                 Unknown           NoReport
//	unknown   no proof is young enough                      Unknown           NoProof
//
// Invariants:
//  1. No verdict but Unknown without evidence, and Reachable only with a live
//     data path whose proof is younger than ProofMaxAge: status never lies.
//  2. A silent control plane alone never makes a data path dead.
//  3. When every peer falls silent at once, the verdict is Unknown: the fault is
//     most likely ours, and nobody is declared dead.
//  4. Equal evidence at one moment gives an equal verdict, and a verdict that stands
//     changes only with its witnesses or with time.
//  5. What falls, falls at once; what has come back and fallen again comes back no
//     sooner than FlapPause after it last did.
package liveness
