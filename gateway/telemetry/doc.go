// Package telemetry counts what the gateway does with connections, and writes one
// access log line for each.
//
// It owns the gateway's metrics of connections and the shape of the access log. It
// leaves the tunnels' own metrics to gateway/tunnel and serving them to cmd.
//
// All methods may be called from any goroutine.
//
// Invariants:
//  1. Label values come from the table and the federation's members, never from
//     bytes that a peer made up.
package telemetry
