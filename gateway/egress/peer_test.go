package egress

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// deed is what a peer does with an OPEN.
type deed string

const (
	accepts   deed = "accepts"
	breaks    deed = "accepts, then breaks"
	stays     deed = "accepts, and never says anything"
	nacks     deed = "nacks"
	hangsUp   deed = "hangs up"
	isSilent  deed = "is silent"
	isNotThat deed = "refuses the dial"
	isLate    deed = "answers beats, and OPEN from the third on"
)

// scripted is a peer gateway that speaks raw frames, and remembers what it has got.
type scripted struct {
	name federation.ClusterName
	deed deed
	// after is how many early bytes it waits for before it does its deed; with early
	// data only.
	after int

	mu     sync.Mutex
	opens  int
	before []byte // DATA before its answer
	all    []byte
	early  bool // OPEN said that DATA may come before the answer
	// heard is closed at the client's end; used by one that stays, and by nobody else.
	heard chan struct{}
}

// dial is how the egress reaches it: over a loopback connection without TLS.
func (p *scripted) dial(work *sync.WaitGroup) (net.Conn, error) {
	if p.deed == isNotThat {
		return nil, errors.New("connection refused")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = l.Close() }()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	far, err := l.Accept()
	if err != nil {
		return nil, err
	}
	work.Go(func() {
		defer func() { _ = far.Close() }()
		p.serve(far)
	})
	return near, nil
}

type frame struct {
	tunnel.Header
	payload []byte
}

func read(c net.Conn) (frame, error) {
	var head [tunnel.HeaderLen]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return frame{}, err
	}
	h, err := tunnel.ParseHeader(head)
	if err != nil {
		return frame{}, err
	}
	f := frame{h, make([]byte, h.Length)}
	_, err = io.ReadFull(c, f.payload)
	return f, err
}

func send(c net.Conn, t tunnel.Type, stream uint32, payload []byte) {
	_, _ = c.Write(tunnel.AppendFrame(nil, t, stream, payload)) // the egress may have gone
}

// serve answers beats like any peer, unless it is silent, and the first OPEN with
// its deed.
func (p *scripted) serve(c net.Conn) {
	send(c, tunnel.TypeHello, 0, tunnel.Hello{Version: tunnel.Version, Instance: "gw", Cluster: p.name}.Append(nil))
	for {
		f, err := read(c)
		if err != nil {
			return
		}
		switch f.Type {
		case tunnel.TypePing:
			if p.deed != isSilent {
				send(c, tunnel.TypePong, 0, append(f.payload, f.payload...))
			}
		case tunnel.TypeOpen:
			p.answer(c, f)
			return
		}
	}
}

func (p *scripted) answer(c net.Conn, f frame) {
	o, err := tunnel.DecodeOpen(f.payload)
	p.mu.Lock()
	p.opens++
	p.early = err == nil && o.EarlyData
	deed := p.deed
	if deed == isLate {
		deed = isSilent
		if p.opens >= 3 {
			deed = accepts
		}
	}
	p.mu.Unlock()
	for len(p.got()) < p.after && p.early {
		if !p.take(c, true) {
			return
		}
	}
	switch deed {
	case nacks:
		send(c, tunnel.TypeNack, f.Stream, []byte{byte(tunnel.NoEndpoint)})
	case isSilent:
	case stays:
		send(c, tunnel.TypeOpened, f.Stream, nil)
		for { // past the client's end, to that of the tunnel
			f, err := read(c)
			if err != nil || f.Type == tunnel.TypeReset {
				return
			}
			if f.Type == tunnel.TypeFin {
				close(p.heard)
			}
		}
	case breaks:
		send(c, tunnel.TypeOpened, f.Stream, nil)
		return
	case accepts:
		send(c, tunnel.TypeOpened, f.Stream, nil)
		for p.take(c, false) {
		}
		send(c, tunnel.TypeData, f.Stream, []byte(reply(p.name, p.got())))
		send(c, tunnel.TypeFin, f.Stream, nil)
	default:
		return
	}
	for p.take(c, deed != accepts) { // until the egress hangs up
	}
}

// take reads one frame and keeps its data; false is FIN, RESET or the end.
func (p *scripted) take(c net.Conn, before bool) bool {
	f, err := read(c)
	if err != nil || f.Type == tunnel.TypeFin || f.Type == tunnel.TypeReset {
		return false
	}
	if f.Type == tunnel.TypeData {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all = append(p.all, f.payload...)
		if before {
			p.before = append(p.before, f.payload...)
		}
	}
	return true
}

func (p *scripted) got() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.all)
}

func reply(name federation.ClusterName, request []byte) string {
	return fmt.Sprintf("%s got %d bytes: %x", name, len(request), sha256.Sum256(request))
}
