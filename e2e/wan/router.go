package wan

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
)

func (w *WAN) read(ctx context.Context, p *port) error {
	b := w.pool.forReading()
	for {
		n, err := p.file.Read(b.mem)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
				return nil
			}
			return fmt.Errorf("reading from %s: %w", p, err)
		}
		if n <= p.offset {
			w.strange.Add(1)
			continue
		}
		b.data, b.offset = b.mem[:n], p.offset
		if kept := w.forward(p.site, b); kept {
			b = w.pool.forReading()
		}
	}
}

// forward puts the frame into the pipe towards its destination. It returns true when
// it kept b.
func (w *WAN) forward(from Site, b *buffer) bool {
	pipe := w.way(from, b.ip())
	if pipe == nil {
		w.strange.Add(1)
		return false
	}
	now := time.Now()
	kept := w.pool.shrunk(b)
	kept.layout = layoutOf(kept)
	pipe.mu.Lock()
	before, waiting := pipe.line.Next()
	pieces := pipe.line.Push(now, kept, kept.layout.shape)
	kept.users.Store(int32(pieces)) // nobody takes one before the lock is open
	next, _ := pipe.line.Next()
	if t := w.tap.Load(); t != nil && pieces > 0 {
		t.fn(Packet{From: pipe.dir.From, To: pipe.dir.To, At: now, IP: kept.ip()})
	}
	pipe.mu.Unlock()
	if pieces == 0 {
		if kept != b {
			w.pool.free(kept)
		}
		return false
	}
	if !waiting || next.Before(before) {
		pipe.ring()
	}
	return kept == b
}

// way is the pipe that a packet takes, nil when there is none. A shared device does
// not say where the packet came from; its source address does.
func (w *WAN) way(from Site, ip []byte) *pipe {
	dst, ok := destination(ip)
	if !ok {
		return nil
	}
	if from == "" {
		from = w.siteOf(netip.AddrFrom4([4]byte(ip[12:16])))
	}
	return w.pipes[Direction{from, w.siteOf(dst)}]
}

// siteOf is empty for an address of no site.
func (w *WAN) siteOf(a netip.Addr) Site {
	for site, prefix := range w.cfg.Sites { // a handful
		if prefix.Contains(a) {
			return site
		}
	}
	return ""
}

func (p *pipe) ring() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

// deliver writes what is due to the direction's site.
func (w *WAN) deliver(ctx context.Context, p *pipe) error {
	out := w.ports[p.dir.To]
	timer := time.NewTimer(0)
	defer timer.Stop()
	var wr writer
	for {
		due, waiting := w.flush(p, out, &wr)
		var at <-chan time.Time
		if waiting {
			timer.Reset(time.Until(due))
			at = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.bell:
		case <-at:
		}
	}
}

// flush writes until nothing is due, and says when something will be.
func (w *WAN) flush(p *pipe, out *port, wr *writer) (due time.Time, waiting bool) {
	for {
		p.mu.Lock()
		piece, ok := p.line.Pop(time.Now())
		if !ok {
			due, waiting = p.line.Next()
			p.mu.Unlock()
			return due, waiting
		}
		p.mu.Unlock()
		if err := wr.write(out, piece.Frame, piece.First, piece.Count); err != nil {
			w.strange.Add(1)
		}
		w.pool.release(piece.Frame)
	}
}
