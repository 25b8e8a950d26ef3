package tunnel

import (
	"errors"
	"fmt"
)

// phase is what a tunnel's one slot is doing.
type phase uint8

const (
	idle    phase = iota
	opening       // we sent OPEN, no answer yet
	offered       // the peer sent OPEN, we have not answered yet
	open          // bytes may flow both ways
	broken        // never to be used again
)

// action is what the driver has to do with a frame that has come in.
type action uint8

const (
	deliver  action = iota // give it to the stream
	ignore                 // it belongs to a stream that has ended by NACK
	refuse                 // answer NACK(Busy)
	takeOver               // our own OPEN has lost; serve the peer's
)

var (
	errBusy     = errors.New("tunnel is in use")
	errDraining = errors.New("peer is draining")
	errProtocol = errors.New("peer broke the protocol")
)

// slot is the pure state of one end of a tunnel: which stream holds it and how far
// that stream is. It does no I/O and knows no clock.
type slot struct {
	dialer   bool
	draining bool // the peer has asked us to open nothing more
	phase    phase
	id       uint32 // the stream that holds the slot
	own      bool   // we opened it
	sentFin  bool
	gotFin   bool
	lastOwn  uint32 // the last id that we used
	lastPeer uint32 // the last id that the peer used
}

// mine says whether an id is of the kind that this end gives: odd for the dialer.
func (s *slot) mine(id uint32) bool { return (id%2 == 1) == s.dialer }

// begin takes the slot for a stream of ours and returns its id.
func (s *slot) begin() (uint32, error) {
	switch {
	case s.phase != idle:
		return 0, errBusy
	case s.draining:
		return 0, errDraining
	case s.lastOwn > 1<<32-4:
		return 0, fmt.Errorf("stream ids are used up: %w", errBusy)
	}
	switch {
	case s.lastOwn != 0:
		s.lastOwn += 2
	case s.dialer:
		s.lastOwn = 1
	default:
		s.lastOwn = 2
	}
	s.hold(opening, s.lastOwn, true)
	return s.id, nil
}

func (s *slot) hold(p phase, id uint32, own bool) {
	s.phase, s.id, s.own, s.sentFin, s.gotFin = p, id, own, false, false
}

// holds says whether id is the stream in the slot.
func (s *slot) holds(id uint32) bool { return s.phase != idle && s.phase != broken && s.id == id }

// answer records our answer to the peer's OPEN.
func (s *slot) answer(id uint32, accepted bool) error {
	if s.phase != offered || s.id != id {
		return errProtocol
	}
	s.phase = idle
	if accepted {
		s.phase = open
	}
	return nil
}

// canSend says whether DATA may be sent on id: on an open stream, and on one of
// ours that has not been answered (early data).
func (s *slot) canSend(id uint32) bool {
	return s.id == id && !s.sentFin && (s.phase == open || s.phase == opening)
}

// finish records our FIN.
func (s *slot) finish(id uint32) error {
	if s.phase != open || s.id != id || s.sentFin {
		return errProtocol
	}
	s.sentFin = true
	s.settle()
	return nil
}

func (s *slot) settle() {
	if s.sentFin && s.gotFin {
		s.phase = idle
	}
}

// receive takes in a stream frame of the peer's and says what to do with it.
func (s *slot) receive(t Type, id uint32) (action, error) {
	if t == TypeOpen {
		return s.receiveOpen(id)
	}
	if !s.holds(id) {
		return s.receiveStale(t, id)
	}
	switch {
	case t == TypeOpened && s.phase == opening:
		s.phase = open
	case t == TypeNack && s.phase == opening:
		s.phase = idle
	case t == TypeData && s.mayGet():
	case t == TypeFin && s.mayGet():
		s.gotFin = true
		s.settle()
	case t == TypeReset:
		s.phase = broken
	default:
		return ignore, fmt.Errorf("%w: frame type %d on stream %d", errProtocol, t, id)
	}
	return deliver, nil
}

// mayGet says whether DATA or FIN can come now: early data comes while a stream
// of the peer's is still unanswered.
func (s *slot) mayGet() bool {
	return !s.gotFin && (s.phase == open || s.phase == offered)
}

func (s *slot) receiveOpen(id uint32) (action, error) {
	if id == 0 || s.mine(id) || id <= s.lastPeer {
		return ignore, fmt.Errorf("%w: OPEN with stream id %d", errProtocol, id)
	}
	s.lastPeer = id
	switch {
	case s.phase == idle:
		s.hold(offered, id, false)
		return deliver, nil
	case s.phase == opening && s.dialer:
		return refuse, nil
	case s.phase == opening:
		s.hold(offered, id, false)
		return takeOver, nil
	default:
		return ignore, fmt.Errorf("%w: OPEN while stream %d is open", errProtocol, s.id)
	}
}

// receiveStale judges a frame for a stream that does not hold the slot. Those of a
// stream that was refused are on their way until the opener has read the NACK.
func (s *slot) receiveStale(t Type, id uint32) (action, error) {
	refusedByUs := !s.mine(id) && id != 0 && id <= s.lastPeer && (t == TypeData || t == TypeFin || t == TypeReset)
	lostByUs := s.mine(id) && id != 0 && id <= s.lastOwn && t == TypeNack
	if refusedByUs || lostByUs {
		return ignore, nil
	}
	return ignore, fmt.Errorf("%w: frame type %d on stream %d, which is not open", errProtocol, t, id)
}
