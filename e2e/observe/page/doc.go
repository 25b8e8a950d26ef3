// Package page keeps the tables of metrics in docs/observability.md true to the registries.
//
// It owns how a registry's descriptions become a table, and where that lies in the page. It
// leaves to the commands' tests which registries are whole: only there everything is wired
// together.
//
// Everything may be called from any goroutine, but for Check, which belongs to its test.
//
// Invariants:
//  1. A metric that is registered and not on the page, or the other way round, fails a test.
//  2. The page is written by hand but for what lies between its marks.
package page
