// Package observe proves what is watched: the dashboard and the rules, with a Prometheus of
// the machine's.
//
// It owns how a dashboard's queries are read out of its JSON, how the sample configuration is
// turned into one for a test, and Prometheus' HTTP API. It leaves to others where Prometheus
// runs, what it reaches and what a query must answer (e2e/mesh's tests), and the page of
// metrics (the package page).
//
// Everything may be called from any goroutine.
//
// Invariants:
//  1. A query with a variable that Grafana would fill and we do not know is an error, not a
//     query that finds nothing.
//  2. What a test scrapes with is the sample's own relabelling: only the discovery is replaced.
package observe
