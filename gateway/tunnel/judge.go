package tunnel

import (
	"fmt"
	"time"

	"github.com/causeway-mesh/causeway/federation/routing"
)

// beatState is what one beat connection of a path has shown so far.
type beatState uint8

const (
	beatNone   beatState = iota // not dialled yet, or dialling for the first time
	beatFresh                   // answers
	beatSilent                  // connected, but nothing has come for longer than the timeout
	beatLost                    // ended by itself
	beatFailed                  // the latest dial failed
)

// witness is one beat connection's evidence.
type witness struct {
	state beatState
	cause string // of beatLost and beatFailed
}

// judge says what the witnesses of one path together mean, with a cause. A path is
// down when nobody answers and at least two independent signs say so: two silent or
// lost connections, or one and a fresh dial that failed. was is the state before. For
// silence nothing at all may have answered for timeout: beats that wait for a lost
// segment to be sent again are silent too, on a path that lives.
func judge(was routing.PathState, ws []witness, silence, timeout time.Duration) (routing.PathState, string) {
	var silent, lost, failed int
	cause := ""
	for _, w := range ws {
		switch w.state {
		case beatFresh:
			return routing.PathUp, ""
		case beatSilent:
			silent++
		case beatLost:
			lost++
		case beatFailed:
			failed++
		}
		if w.cause != "" {
			cause = w.cause
		}
	}
	switch {
	case was == routing.PathUp && lost == 0 && silence < timeout:
	case silent >= 2:
		return routing.PathDown, fmt.Sprintf("silent for %dms on %d connections", silence.Milliseconds(), silent)
	case failed > 0 && silent > 0:
		return routing.PathDown, fmt.Sprintf("silent for %dms on one connection, and a fresh dial failed: %s", silence.Milliseconds(), cause)
	case failed > 0 && (lost > 0 || was != routing.PathUp || failed >= 2):
		return routing.PathDown, cause
	}
	return was, cause
}
