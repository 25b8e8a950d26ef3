package liveness

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation/routing"
)

// summary is what all local gateways together saw of one peer.
type summary struct {
	state                routing.PathState
	total, up, draining  int // draining ones are up too
	refused, hung        int
	unheard              bool
	rtt, jitter, silence time.Duration
	loss                 float64
	cause                string
}

// summarize: one live path makes the peer live; it is down only when every known
// path is down and none is still undecided. A path that is up by an old proof is
// undecided.
func summarize(paths []routing.PathReport) summary {
	s := summary{state: routing.PathUnknown, total: len(paths)}
	down := 0
	for _, p := range paths {
		switch {
		case p.State == routing.PathUp && p.Silence <= ProofMaxAge:
			s.addUp(p)
		case p.State == routing.PathDown:
			down++
			s.refused, s.hung = s.refused+count(p.Refused), s.hung+count(p.Hung)
			s.unheard = s.unheard || p.Unheard
		}
	}
	switch {
	case s.up > 0:
		s.state = routing.PathUp
	case down > 0 && down == len(paths):
		s.state = routing.PathDown
		p := slices.MinFunc(paths, func(a, b routing.PathReport) int { return cmp.Compare(a.Silence, b.Silence) })
		s.cause, s.silence = fmt.Sprintf("%s: %s", p.Address, p.Cause), p.Silence
	}
	return s
}

// addUp: the nearest gateway's measurements stand for the peer, the newest answer is
// the proof.
func (s *summary) addUp(p routing.PathReport) {
	if s.up == 0 || p.RTT != 0 && (s.rtt == 0 || p.RTT < s.rtt) {
		s.rtt, s.jitter, s.loss = p.RTT, p.Jitter, p.Loss
	}
	if s.up == 0 || p.Silence < s.silence {
		s.silence = p.Silence
	}
	s.up++
	s.draining += count(p.Draining)
}

// hostsAnswer says whether a host of the peer does, whatever its gateway does: then the
// network between us works.
func (s summary) hostsAnswer() bool { return s.refused+s.hung > 0 }

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
