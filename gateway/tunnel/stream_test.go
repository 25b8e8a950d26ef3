package tunnel

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// failing is a connection that breaks when the FIN is to be written.
type failing struct{ net.Conn }

var errBroken = errors.New("connection is broken")

func (f failing) Write(p []byte) (int, error) {
	if Type(p[0]) == TypeFin || Type(p[0]) == TypeNack {
		return 0, errBroken
	}
	return f.Conn.Write(p)
}

// answering is a peer that accepts each stream, and ends its own direction at once.
func answering(c net.Conn) {
	_, _ = c.Write(AppendFrame(nil, TypeHello, 0, Hello{Version: Version, Instance: "gw", Cluster: "peer"}.Append(nil)))
	var head [HeaderLen]byte
	for {
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		h, err := ParseHeader(head)
		if err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, int64(h.Length)); err != nil {
			return
		}
		if h.Type == TypeOpen {
			b := AppendFrame(nil, TypeOpened, h.Stream, nil)
			_, _ = c.Write(AppendFrame(b, TypeFin, h.Stream, nil))
		}
	}
}

// The last FIN frees the slot before it is written; a stream whose FIN cannot be
// written must end all the same, or its relay waits for ever and no drain ends.
func TestRelayEndsWhenItsLastFrameCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go answering(far)
		start := time.Now()
		tun := New(failing{near}, Config{Dialer: true, Instance: "gw", Cluster: "us", Peer: "peer"}, Hooks{},
			func() time.Duration { return time.Since(start) + time.Second })
		go func() { _ = tun.Run(context.Background()) }()
		defer tun.Close(ErrClosed)
		s, err := tun.Open(plainOpen)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
		relayed := make(chan error, 1)
		go func() { _, err := s.Relay(newEcho()); relayed <- err }()
		time.Sleep(time.Minute)
		select {
		case err := <-relayed:
			if err == nil {
				t.Error("the relay says that all went well")
			}
		default:
			t.Error("the relay waits for ever")
			s.end(ErrClosed)
		}
	})
}

// The same of the answer to a peer's OPEN.
func TestIncomingEndsWhenItsRefusalCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		start := time.Now()
		refused := make(chan *Incoming, 1)
		tun := New(failing{near}, Config{Instance: "gw", Cluster: "us", Peer: "peer"}, Hooks{
			OnOpen: func(in *Incoming) {
				time.Sleep(time.Second) // HELLO has left: the refusal goes alone
				_ = in.Nack(NoEndpoint)
				refused <- in
			},
		}, func() time.Duration { return time.Since(start) + time.Second })
		go func() { _ = tun.Run(context.Background()) }()
		defer tun.Close(ErrClosed)
		hello := AppendFrame(nil, TypeHello, 0, Hello{Version: Version, Instance: "gw", Cluster: "peer"}.Append(nil))
		if _, err := far.Write(AppendFrame(hello, TypeOpen, 1, plainOpen.Append(nil))); err != nil {
			t.Fatal(err)
		}
		in := <-refused
		time.Sleep(time.Minute)
		select {
		case <-in.Done():
		default:
			t.Error("the stream has not ended")
		}
	})
}

func TestAStreamThatBreaksOnceAcceptedWasAccepted(t *testing.T) {
	broke := errors.New("broke")
	for range 64 { // Go selects at random
		accepted, refused := newStream(nil), newStream(nil)
		close(accepted.opened)
		accepted.end(broke)
		refused.end(broke)
		if err := accepted.Await(t.Context()); err != nil {
			t.Fatalf("the accepted one: %v", err)
		}
		if err := refused.Await(t.Context()); !errors.Is(err, broke) {
			t.Fatalf("the other: %v", err)
		}
	}
}
