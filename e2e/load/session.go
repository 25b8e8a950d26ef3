package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Session is a client with one established connection: a request every so often
// on the same connection, a new connection as soon as the old one is broken.
type Session struct {
	Every time.Duration
	// Dial opens a new connection.
	Dial func(ctx context.Context) (net.Conn, error)

	mu          sync.Mutex
	results     []Result
	interrupted int
}

// Run goes on until ctx ends.
func (s *Session) Run(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := s.Dial(ctx)
		if err != nil {
			s.add(Result{Scheduled: time.Now(), Err: err}, false)
			wait(ctx, s.Every)
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		s.use(ctx, conn)
		stop()
		_ = conn.Close()
	}
}

// use sends requests on one connection until it breaks.
func (s *Session) use(ctx context.Context, conn net.Conn) {
	reader := bufio.NewReader(conn)
	for ctx.Err() == nil {
		r := Result{Scheduled: time.Now()}
		r.Served, r.Err = exchange(conn, reader)
		r.Latency = time.Since(r.Scheduled)
		if ctx.Err() != nil {
			return // cut by ourselves
		}
		s.add(r, r.Err != nil)
		if r.Err != nil {
			return
		}
		wait(ctx, s.Every)
	}
}

func exchange(conn net.Conn, reader *bufio.Reader) (string, error) {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: checkout.shop.svc\r\n\r\n"); err != nil {
		return "", err
	}
	return ReadAnswer(reader)
}

// ReadAnswer reads one HTTP answer and returns its body, trimmed.
func ReadAnswer(reader *bufio.Reader) (string, error) {
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("answer %s", resp.Status)
	}
	return strings.TrimSpace(string(body)), nil
}

func (s *Session) add(r Result, interrupted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results = append(s.results, r)
	if interrupted {
		s.interrupted++
	}
}

// Results are all requests in the order of their ends.
func (s *Session) Results() []Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Result(nil), s.results...)
}

// Interrupted counts requests that were open when their connection broke.
func (s *Session) Interrupted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.interrupted
}

// Recovery is the time from a fault to the end of the first request that was sent
// after the connection broke and succeeded.
func (s *Session) Recovery(fault time.Time) (time.Duration, bool) {
	broken := false
	for _, r := range s.Results() {
		end := r.Scheduled.Add(r.Latency)
		switch {
		case end.Before(fault):
		case r.Err != nil:
			broken = true
		case broken:
			return end.Sub(fault), true
		}
	}
	return 0, false
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
