// Package gateway is the data plane of one cluster: it joins the egress, the
// ingress, the paths to peer gateways and the route feed into one process that
// goes on forwarding, probing and failing over with nobody to ask.
//
// It owns the table in force and the rule which feeder is obeyed. It leaves the
// frames and probes to gateway/tunnel, the order of tries to gateway/balance,
// admission to gateway/ingress, and where tables come from to
// federation/routefeed.
//
// Run is called once; Ready, Table and Paths may be used from any goroutine.
//
// Invariants:
//  1. A table is replaced only by a newer one: a higher epoch, or a higher sequence
//     of the same feeder; another feeder of the same epoch only after the obeyed
//     one has been silent.
//  2. Losing every operator changes nothing.
//  3. A path that goes down takes its tunnels with it at once, whatever the table says.
//  4. A tunnel lives no longer than its peer may connect: a bundle or a member that
//     goes ends it at once, a certificate's end within reviewEvery.
//  5. Between the wish to end and the end of ShutdownDelay no new connection fails
//     for it: everybody is told first, and turned away only then.
package gateway
