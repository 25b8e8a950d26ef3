// Package controllertest starts what the controllers' tests run against: a real API
// server with every CRD, a real policy store, and an engine on it.
//
// It owns what it starts and ends it with the test. What a controller is expected
// to do is the tests' own; where no engine will do they bring a fake one.
//
// For tests only. Its functions are called from the test's goroutine.
//
// Invariants:
//  1. No controller runs in the API server's cluster but the one under test, and
//     nothing collects garbage.
//  2. Whatever listens, listens on loopback.
package controllertest
