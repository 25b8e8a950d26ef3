// Package script is the small language in which changes to the link emulator are
// written, one a line:
//
//	# the way from us-east breaks slowly, the way back does not
//	at 5s  us-east>eu-west  loss 20% burst 4
//	at 10s us-east>eu-west  down
//	at 20s us-east<>eu-west clear
//
// It owns the grammar and what a change makes of a direction's settings. It leaves to
// others which sites there are and when it is time.
//
// Everything is a value; any goroutine may use it.
//
// Invariants:
//  1. What Parse accepts makes valid settings of valid settings.
//  2. String of what was parsed parses to the same.
//  3. Events come out in the order of their times; those of one time as written.
//  4. What is read is bounded: MaxBytes and MaxEvents.
package script
