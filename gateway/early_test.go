package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// maxEarly is decision 9's bound on what is sent before OPENED.
const maxEarly = 16 << 10

// wire is a link between two gateways that knows what crosses it: it counts TLS
// records, whose lengths tell the frames apart, and can hold back everything that
// comes from the far side. What has reached it by then was caused by one flight of
// ours: so round trips are counted, not timed.
type wire struct {
	address string
	closed  chan struct{}

	mu     sync.Mutex
	armed  bool
	open   map[net.Conn]*secrets
	tunnel net.Conn      // our end of the connection on which OPEN has gone out
	pass   chan struct{} // closed when held bytes may cross
	up     []int         // payload bytes of the frames that have left since OPEN
	down   []int         // and of those that have come back as far as the wire
}

// secrets counts a connection's encrypted records each way.
type secrets struct{ up, down int }

const (
	recordHeader  = 5
	recordTrailer = 17 // TLS 1.3: content type and tag
	recordSecret  = 23 // the type of a record that is encrypted
	// Those of the handshake: certificate, its proof and Finished; and before them the
	// server's extensions and its request for the client's.
	handshakeUp, handshakeDown = 3, 5
)

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	w := &wire{pass: make(chan struct{}), closed: make(chan struct{}), open: map[net.Conn]*secrets{}}
	w.address = endpoint(t, func(near net.Conn) {
		far, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer func() { _ = far.Close() }()
		w.opened(near, &secrets{})
		defer w.opened(near, nil)
		ended := make(chan struct{})
		defer close(ended)
		go func() {
			select {
			case <-w.closed:
				_ = near.Close()
				_ = far.Close()
			case <-ended:
			}
		}()
		var wg sync.WaitGroup
		wg.Go(func() { w.pump(near, far, near, true); _ = far.Close() })
		wg.Go(func() { w.pump(near, near, far, false); _ = near.Close() })
		wg.Wait()
	})
	t.Cleanup(func() { close(w.closed) })
	return w
}

// pump carries whole records from src to dst; conn names the connection. It reads
// on while records are held back.
func (w *wire) pump(conn, dst, src net.Conn, up bool) {
	records := make(chan []byte, 1024) // from the reader below, which closes it; far more than a test sends
	go func() {
		defer close(records)
		head := make([]byte, recordHeader)
		for {
			if _, err := io.ReadFull(src, head); err != nil {
				return
			}
			body := make([]byte, binary.BigEndian.Uint16(head[3:]))
			if _, err := io.ReadFull(src, body); err != nil {
				return
			}
			if head[0] == recordSecret {
				w.note(conn, len(body)-recordTrailer, up)
			}
			records <- append(slices.Clone(head), body...)
		}
	}()
	for record := range records {
		if !up {
			w.wait(conn)
		}
		_, _ = dst.Write(record) // a failure ends the reader too
	}
}

var openLen = len(tunnel.AppendFrame(nil, tunnel.TypeOpen, 1, tunnel.Open{Port: port}.Append(nil)))

// opened keeps a connection's counts; nil is its end.
func (w *wire) opened(conn net.Conn, s *secrets) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[conn] = s
	if s == nil {
		delete(w.open, conn)
	}
}

// greeted says whether HELLO has crossed both ways on every connection. Before that it
// may come with OPEN, in one record, or behind it.
func (w *wire) greeted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.open {
		if s.up <= handshakeUp || s.down <= handshakeDown {
			return false
		}
	}
	return true
}

// beats are the lengths of PING and PONG, which go their own way on a slow machine.
var beats = []int{tunnel.HeaderLen + 8, tunnel.HeaderLen + 16}

func (w *wire) note(conn net.Conn, frame int, up bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.open[conn]; s != nil && up {
		s.up++
	} else if s != nil {
		s.down++
	}
	if slices.Contains(beats, frame) {
		return
	}
	if w.armed && w.tunnel == nil && up && frame == openLen {
		w.tunnel = conn
	}
	switch {
	case w.tunnel != conn:
	case up:
		w.up = append(w.up, frame-tunnel.HeaderLen)
	default:
		w.down = append(w.down, frame-tunnel.HeaderLen)
	}
}

// wait holds back what comes on the tunnel in use.
func (w *wire) wait(conn net.Conn) {
	w.mu.Lock()
	held, release := w.tunnel == conn, w.pass
	w.mu.Unlock()
	if !held {
		return
	}
	select {
	case <-release:
	case <-w.closed:
	}
}

// arm holds back the answers on the next tunnel that is used.
func (w *wire) arm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.tunnel, w.up, w.down, w.pass = true, nil, nil, nil, make(chan struct{})
}

func (w *wire) release() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	close(w.pass)
}

func (w *wire) frames() (up, down []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.up), slices.Clone(w.down)
}

// over is a consumer that reaches east over a wire, and west, if there is one, directly.
// An attempt waits for an answer to OPEN for patience at least.
func over(t *testing.T, patience time.Duration, early bool, clusters ...federation.ClusterName) (east, west *node, egress string, w *wire) {
	t.Helper()
	ca := identitytest.NewCA(t, domain)
	consumer := startWith(t, ca, "eu-west", func(c *gateway.Config) { c.AttemptMin = patience })
	east = start(t, ca, "us-east")
	w = newWire(t, east.address)
	egress = consumer.route(t, clusters...) // before there is anywhere to go: it asks the port itself
	consumer.publish(t, func(x *routing.Table) {
		r := x.Routes[port]
		r.EarlyData = early
		x.Routes[port] = r
	})
	if len(clusters) > 1 {
		west = start(t, ca, clusters[1])
		link(t, consumer, west, west.address)
	}
	link(t, consumer, east, w.address)
	consumer.up(t, len(clusters))
	await(t, "two warm tunnels to each", func() bool {
		return !slices.ContainsFunc(consumer.gw.Paths(), func(v tunnel.View) bool { return v.Idle != 2 }) && w.greeted()
	})
	return east, west, egress, w
}

func say(t *testing.T, egress, what string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", egress)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, what); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEarlyDataCostsOneRoundTripToTheFirstByte(t *testing.T) {
	east, _, egress, w := over(t, 30*time.Second, true, "us-east")
	east.serve(t, endpoint(t, named("east")))
	w.arm()
	c := say(t, egress, "hello\n")
	defer w.release()
	// Nothing has come back to us yet, and the answer is on its way already.
	await(t, "OPENED and the answer at the wire", func() bool {
		_, down := w.frames()
		return slices.Equal(down, []int{0, len("east hello\n")})
	})
	if up, _ := w.frames(); !slices.Equal(up, []int{openLen - tunnel.HeaderLen, len("hello\n")}) {
		t.Fatalf("frames of %v bytes have left, want OPEN and the first bytes", up)
	}
	_ = c
}

func TestByDefaultNoByteIsSentBeforeOpenedAndTheFirstByteCostsTwoRoundTrips(t *testing.T) {
	east, _, egress, w := over(t, 30*time.Second, false, "us-east")
	east.serve(t, endpoint(t, named("east")))
	w.arm()
	c := say(t, egress, "hello\n")
	await(t, "OPENED at the wire", func() bool { _, down := w.frames(); return len(down) > 0 })
	// The client's bytes have been there all the time; they must not have left.
	up, down := w.frames()
	if !slices.Equal(up, []int{openLen - tunnel.HeaderLen}) || !slices.Equal(down, []int{0}) {
		t.Fatalf("frames of %v bytes have left and %v have come, want OPEN and OPENED alone", up, down)
	}
	w.release()
	buf := make([]byte, len("east hello\n"))
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "east hello\n" {
		t.Fatalf("%q, %v", buf, err)
	}
	if up, _ := w.frames(); !slices.Equal(up, []int{openLen - tunnel.HeaderLen, len("hello\n")}) {
		t.Fatalf("frames of %v bytes have left", up)
	}
}

// digest answers a whole request with its length and hash.
func digest(c net.Conn) {
	all, err := io.ReadAll(c)
	if err == nil {
		_, _ = io.WriteString(c, digestOf(all))
	}
}

func digestOf(b []byte) string { return fmt.Sprintf("%d bytes, %x", len(b), sha256.Sum256(b)) }

func long() []byte { return bytes.Repeat([]byte("0123456789abcdef"), 4<<10) } // 64 KiB

// whole sends all of a request and returns the answer.
func whole(c net.Conn, request []byte) (string, error) {
	if _, err := c.Write(request); err != nil {
		return "", err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(c)
	return string(answer), err
}

// seen keeps what an endpoint has got.
type seen struct {
	mu  sync.Mutex
	got []byte
}

func (s *seen) take(c net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.Read(buf)
		s.mu.Lock()
		s.got = append(s.got, buf[:n]...)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *seen) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func TestAtMost16KiBGoEarlyAndAreReplayedAfterSilence(t *testing.T) {
	east, west, egress, w := over(t, time.Second, true, "us-east", "us-west")
	var silent seen
	east.serve(t, endpoint(t, silent.take))
	west.serve(t, endpoint(t, digest))
	w.arm() // east's OPENED never arrives
	defer w.release()
	c := say(t, egress, "")
	if got, err := whole(c, long()); err != nil || got != digestOf(long()) {
		t.Fatalf("the one that answers: %q, %v", got, err)
	}
	if got := silent.bytes(); len(got) == 0 || len(got) > maxEarly || !bytes.HasPrefix(long(), got) {
		t.Fatalf("the silent one has got %d bytes, want a beginning of at most %d", len(got), maxEarly)
	}
	up, _ := w.frames()
	sum := 0
	for _, n := range up[1:] {
		sum += n
	}
	if sum > maxEarly+4 { // and RESET may come behind
		t.Fatalf("%d bytes have left before OPENED", sum)
	}
}

func TestEarlyBytesAreReplayedAfterNack(t *testing.T) {
	east, west, egress, w := over(t, 30*time.Second, true, "us-east", "us-west")
	east.serve(t) // exported, nothing ready
	west.serve(t, endpoint(t, digest))
	w.arm()
	c := say(t, egress, "")
	var answer strings.Builder
	done := make(chan error, 1)
	go func() {
		got, err := whole(c, long())
		answer.WriteString(got)
		done <- err
	}()
	await(t, "the NACK at the wire, and early bytes behind OPEN", func() bool {
		up, down := w.frames()
		return slices.Equal(down, []int{1}) && len(up) > 1
	})
	w.release()
	if err := <-done; err != nil || answer.String() != digestOf(long()) {
		t.Fatalf("%q, %v", answer.String(), err)
	}
}
