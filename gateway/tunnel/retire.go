package tunnel

import (
	"context"
	"time"
)

// Retire asks for no more than that the streams under way may end: nothing is dialled
// ahead any more, and Run ends with the last of them. Called once the peer gateway has
// left the table.
func (p *Path) Retire() { p.retire.Do(func() { close(p.retired) }) }

func (p *Path) isRetired() bool {
	select {
	case <-p.retired:
		return true
	default:
		return false
	}
}

// finish waits for the data tunnels to end, each after its stream. Beats go on, so that
// a peer that dies meanwhile costs its clients no more than it would have before.
func (p *Path) finish(ctx context.Context, keepalive <-chan time.Time) {
	for p.closeIdle() {
		select {
		case <-ctx.Done():
			return
		case <-keepalive:
			p.probeAll()
		case <-p.need:
		}
	}
}

// closeIdle closes the tunnels that nobody uses, and says whether there are others.
func (p *Path) closeIdle() bool {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, t := range idle {
		t.closeFree(ErrClosed)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dialled > 0
}
