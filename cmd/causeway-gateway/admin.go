package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/causeway-mesh/causeway/federation/explain"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/federation/version"
	"github.com/causeway-mesh/causeway/gateway"
)

// admin is the gateway's endpoint for people and probes.
type admin struct {
	running *atomic.Pointer[gateway.Gateway] // nil inside until the gateway has its identity
	waiting func() string                    // what it waits for meanwhile
	metrics *prometheus.Registry
	pprof   bool
}

func (a admin) serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the admin endpoint on %s: %w", l.Addr(), err)
	}
	return nil
}

func (a admin) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ready, why := a.ready()
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = fmt.Fprintln(w, why)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /config", a.config)
	mux.HandleFunc("GET /v1/version", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(explain.Version{Version: version.String()})
	})
	if a.pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func (a admin) ready() (bool, string) {
	if g := a.running.Load(); g != nil {
		return g.Ready()
	}
	return false, a.waiting()
}

// config dumps the table in force and every path. Maps with structured keys
// become lists.
func (a admin) config(w http.ResponseWriter, _ *http.Request) {
	g := a.running.Load()
	if g == nil {
		http.Error(w, a.waiting(), http.StatusServiceUnavailable)
		return
	}
	t := g.Table()
	dump := struct {
		Version   routing.TableVersion `json:"version"`
		Peers     []routing.Peer       `json:"peers"`
		Routes    []routing.Route      `json:"routes"`
		Served    []routing.Served     `json:"served"`
		Operators []routing.Operator   `json:"operators"`
		Paths     any                  `json:"paths"`
	}{Version: t.Version, Operators: t.Operators, Paths: g.Paths()}
	for _, p := range t.Peers {
		dump.Peers = append(dump.Peers, p)
	}
	for _, r := range t.Routes {
		dump.Routes = append(dump.Routes, r)
	}
	for _, s := range t.Served {
		dump.Served = append(dump.Served, s)
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(dump) // the client has gone; nothing to be done about it
}
