package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/explain"
	"github.com/causeway-mesh/causeway/federation/version"
)

func (op *operator) serveAdmin(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: op.admin(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the admin endpoint on %s: %w", l.Addr(), err)
	}
	return nil
}

func (op *operator) admin() http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") }
	mux.HandleFunc("GET /healthz", ok)
	mux.HandleFunc("GET /readyz", op.ready)
	mux.HandleFunc("GET /v1/version", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, explain.Version{Version: version.String()}) })
	mux.HandleFunc("GET /v1/status", op.status)
	mux.HandleFunc("GET /v1/explain", op.explain)
	mux.HandleFunc("POST /v1/plan", op.plan) // writes nothing; the question is too long for a URL
	both := prometheus.Gatherers{op.metrics, ctrlmetrics.Registry}
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherOnce(both), promhttp.HandlerOpts{}))
	if op.options.pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// gatherOnce drops a metric family that both registries have: each brings the Go
// runtime's.
func gatherOnce(gatherers prometheus.Gatherers) prometheus.Gatherer {
	return prometheus.GathererFunc(func() (out []*dto.MetricFamily, err error) {
		seen := map[string]bool{}
		for _, g := range gatherers {
			families, gatherErr := g.Gather()
			err = errors.Join(err, gatherErr)
			for _, f := range families {
				if !seen[f.GetName()] {
					seen[f.GetName()] = true
					out = append(out, f)
				}
			}
		}
		return out, err
	})
}

// ready: a standby is, it can take over; one that cannot work here is not, and says
// why.
func (op *operator) ready(w http.ResponseWriter, _ *http.Request) {
	if why := op.waits.Load(); why != nil && *why != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, *why)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

func (op *operator) status(w http.ResponseWriter, _ *http.Request) {
	s := op.engine.View().Status()
	s.Replica, s.Version = op.options.replica, version.String()
	if own, _, ok := op.identity.Own(); ok {
		s.Federation = own.Federation
	}
	writeJSON(w, s)
}

func (op *operator) explain(w http.ResponseWriter, r *http.Request) {
	only, err := selector(r.URL.Query().Get("service"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, explain.Services(op.engine.View().Decisions, only))
}

// selector reads "namespace/name" or "namespace/name:port"; empty is everything.
func selector(s string) (func(federation.ServicePort) bool, error) {
	if s == "" {
		return nil, nil
	}
	if port, err := federation.ParseServicePort(s); err == nil {
		return func(p federation.ServicePort) bool { return p == port }, nil
	}
	name, err := federation.ParseServiceName(s)
	if err != nil {
		return nil, fmt.Errorf("service %q: want namespace/name or namespace/name:port", s)
	}
	return func(p federation.ServicePort) bool { return p.Service == name }, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the client has gone; nothing to be done about it
}
