package liveness

import (
	"fmt"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

// Held is a verdict as Judge keeps it from one round to the next.
type Held struct {
	Kind   federation.VerdictKind
	Reason string
	Cause  string
	Since  time.Duration // on the caller's monotonic clock
	RTT    time.Duration
	Jitter time.Duration
	Loss   float64
	Proof  time.Duration // age of the newest evidence
	Agree  int           // as in federation.Verdict
	Of     int

	fallen federation.VerdictKind // the dead verdict that it has not come back from; "" is none
	rose   time.Duration          // when it last came back; meaningless unless risen
	risen  bool
}

// Verdict is the value for readers at the moment now.
func (h Held) Verdict(now time.Duration) federation.Verdict {
	return federation.Verdict{
		Kind: h.Kind, Reason: h.Reason, Cause: h.Cause, Age: max(0, now-h.Since), ProofAge: h.Proof,
		RTT: h.RTT, Jitter: h.Jitter, Loss: h.Loss, Agree: h.Agree, Of: h.Of,
	}
}

// Judge concludes anew for every peer. prev keeps the age of verdicts that stand and
// what is known of flaps; now is the caller's monotonic clock.
func Judge(evidence map[federation.ClusterName]Evidence, prev map[federation.ClusterName]Held, now time.Duration) map[federation.ClusterName]Held {
	self := suspect(evidence)
	out := make(map[federation.ClusterName]Held, len(evidence))
	for name, e := range evidence {
		h := judge(e, self.deaf)
		if self.isolated {
			h.Kind, h.Reason, h.Agree = federation.Unknown, ReasonSelfSuspected, 0
			h.Cause = fmt.Sprintf("all %d peers fell silent at once: this cluster suspects its own network", self.peers)
		}
		out[name] = follow(prev[name], h, now)
	}
	return out
}

// follow makes h the successor of old.
func follow(old, h Held, now time.Duration) Held {
	h.fallen, h.rose, h.risen = old.fallen, old.rose, old.risen
	switch {
	case h.Kind.Dead():
		h.fallen = h.Kind
	case h.Kind == federation.Unknown || old.fallen == "":
	case old.risen && now-old.rose < FlapPause:
		wait := FlapPause - (now - old.rose)
		h.Cause = fmt.Sprintf("%s, but it fell again after it had come back: not trusted for another %s", h.Cause, round(wait+time.Second/2))
		h.Kind, h.Reason = old.fallen, ReasonFlapping
	default:
		h.fallen, h.rose, h.risen = "", now, true
	}
	h.Since = now
	if old.Kind == h.Kind {
		h.Since = old.Since
	}
	if h.RTT == 0 { // the last measured distance outlives the path
		h.RTT, h.Jitter, h.Loss = old.RTT, old.Jitter, old.Loss
	}
	return h
}
