// Package echo is the service behind every test pod: it says who answers.
//
// It owns the answers. Handler may be used from any goroutine.
package echo

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// streamBound keeps a mistyped request from running for ever.
const streamBound = 100_000

// Handler answers with identity, "<cluster>/<pod>"; /slow?ms=500 answers late,
// /stream?count=10&ms=100 line by line.
func Handler(identity string) http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter) { _, _ = fmt.Fprintln(w, identity) }
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { answer(w) })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		if wait(r.Context(), number(r, "ms", 500)) {
			answer(w)
		}
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		flush := http.NewResponseController(w)
		for range min(number(r, "count", 10), streamBound) {
			answer(w)
			if flush.Flush() != nil || !wait(r.Context(), number(r, "ms", 100)) {
				return
			}
		}
	})
	return mux
}

func wait(ctx context.Context, ms int) bool {
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func number(r *http.Request, name string, otherwise int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil || n < 0 {
		return otherwise
	}
	return n
}
