// Package admin looks after a policy store as its root: who may do what, how the store
// is doing, backups, and more members.
//
// It owns users, roles, backups and the findings about a store. It leaves the content to
// policystore, the member's process to policystore/server, and keys and certificates to
// federation/pki.
//
// `causewayctl store` calls it, from one goroutine; nothing here runs in an operator.
// Open connects, Close lets go, each request has a deadline.
//
// Invariants:
//  1. What a cluster may do is a pure function of its federation, its name and two
//     choices (Grants). It covers no key of another cluster, and a name's grants do not
//     cover a longer name.
//  2. Whatever is set up may be set up again: what is right already is left alone.
//  3. Authentication is not turned on while it would lock somebody out: the root of this
//     call, or a cluster that is registered and has no user.
//  4. A backup counts only once it has been read back.
//  5. Nothing here prints or keeps a private key.
package admin
