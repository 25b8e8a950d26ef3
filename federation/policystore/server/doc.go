// Package server runs the policy store itself: one etcd member inside our own
// process, for a try-out or a small fleet (`causeway-operator store`).
//
// It owns the member's configuration and life. It leaves to others everything
// about keys and values (policystore), and backups.
//
// New starts nothing; Run blocks until the member has stopped. Ready may be read
// from any goroutine.
//
// Invariants:
//  1. With certificates given, nobody without a certificate of the client CA gets in.
//  2. The peer port listens on loopback only: there is just this one member.
//  3. An error of Run says what to do about it.
package server
