// Package plan predicts what a change of policies would do: Make asks routing.Compute
// for the table of every member as the consumer, once with the policies that hold and
// once with those that would, and tells the difference.
//
// It owns the fate of a policy that is about to be published (its place in the order, what
// it loses, what is wrong with it), the guess at what another cluster knows, and the
// predicted shares of traffic. It leaves to others how targets are ordered
// (federation/routing), how a prediction looks (federation/explain), and publishing.
//
// Everything is a pure function of its arguments: no I/O, no clock, no goroutine;
// callable from anywhere at once. Results may share slices with the arguments.
//
// Invariants:
//  1. A change that asks for what is published already changes nothing.
//  2. What a plan says of a consumer is what Compute says, of the policies as they would be.
//  3. A policy that is refused, or that loses each of its targets, changes nothing.
package plan
