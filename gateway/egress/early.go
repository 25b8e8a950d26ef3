package egress

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// early reads a client's first bytes while no endpoint has accepted yet, and keeps
// them so that each candidate gets all of them.
type early struct {
	conn *net.TCPConn
	more chan struct{} // from the reader; buffer 1, full = already told
	done chan struct{} // closed when the reader has ended

	mu  sync.Mutex
	buf []byte
	err error // a client that is gone; its end of input is none
}

func readEarly(conn *net.TCPConn, limit int) *early {
	e := &early{conn: conn, more: make(chan struct{}, 1), done: make(chan struct{})}
	go e.read(limit)
	return e
}

func (e *early) read(limit int) {
	defer close(e.done)
	chunk := make([]byte, min(limit, 4<<10))
	for got := 0; got < limit; {
		n, err := e.conn.Read(chunk[:min(len(chunk), limit-got)])
		got += n
		e.mu.Lock()
		e.buf = append(e.buf, chunk[:n]...)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
			e.err = err
		}
		e.mu.Unlock()
		select {
		case e.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// from returns what has come behind the first n bytes.
func (e *early) from(n int) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.buf[n:]), e.err
}

// stop ends the reading, so that the relay can go on where it ended.
func (e *early) stop() {
	_ = e.conn.SetReadDeadline(time.Unix(1, 0))
	<-e.done
	_ = e.conn.SetReadDeadline(time.Time{})
}
