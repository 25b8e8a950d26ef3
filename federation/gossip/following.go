package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// follow asks once a HeartbeatInterval for what has come since.
func (f *Follower) follow(ctx context.Context, conn net.Conn) error {
	s := following{f: f, conn: conn, start: f.now()}
	if err := s.exchange(framePing, nil); err != nil { // sets the clock, before anything depends on it
		return err
	}
	for {
		if err := s.exchange(frameDigest, f.digest()); err != nil {
			return err
		}
		if s.deaf {
			return errUnknownKey // another connection is told it again
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(f.cfg.HeartbeatInterval):
		}
	}
}

// following is one connection to the leader.
type following struct {
	f     *Follower
	conn  net.Conn
	start time.Duration
	clock lag
	deaf  bool // a batch came whose key has been refused
}

// exchange sends a frame and takes what comes, to the pong that ends the answer.
func (s *following) exchange(kind byte, body []byte) error {
	f, asked := s.f, s.f.now()
	f.metrics.bytes.WithLabelValues("out").Add(float64(frameHeader + len(body)))
	err := s.conn.SetWriteDeadline(time.Now().Add(f.cfg.LinkTimeout))
	if err == nil {
		_, err = s.conn.Write(appendFrame(nil, kind, asked-s.start, body))
	}
	for err == nil {
		if err = s.conn.SetReadDeadline(time.Now().Add(f.cfg.LinkTimeout)); err != nil {
			break
		}
		var fr frame
		if fr, err = readFrame(s.conn, f.cfg.MaxMessageBytes); err != nil {
			break
		}
		f.metrics.bytes.WithLabelValues("in").Add(float64(frameHeader + len(fr.body)))
		now := f.now()
		if fr.kind == framePong {
			s.clock.answered(asked, fr.sent, now)
			return nil
		}
		if errors.Is(f.take(fr, s.clock.held(fr.sent, now)), errUnknownKey) {
			s.deaf = true
		}
	}
	return fmt.Errorf("following %s's leader: %w", f.cfg.Cluster, err)
}

// lag tells how long ago at most a frame was sent whose time is on the other end's clock:
// a question that was answered shows that the answer was not sent before it.
type lag struct {
	least, at time.Duration // our time less theirs, at least, as of at
	known     bool
}

func (l *lag) answered(asked, sent, now time.Duration) {
	l.drift(now)
	if least := asked - sent; !l.known || least > l.least {
		l.least, l.known = least, true
	}
}

func (l *lag) held(sent, now time.Duration) time.Duration {
	l.drift(now)
	return max(0, now-sent-l.least)
}

func (l *lag) drift(now time.Duration) {
	l.least -= (now - l.at) / clockDrift
	l.at = now
}
