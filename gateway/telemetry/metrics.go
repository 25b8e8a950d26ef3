package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
)

// Recorder counts and logs.
type Recorder struct {
	log         *slog.Logger
	connections *prometheus.CounterVec
	attempts    *prometheus.CounterVec
	connect     *prometheus.HistogramVec
	bytes       *prometheus.CounterVec
	active      *prometheus.GaugeVec
	refused     *prometheus.CounterVec
	tables      *prometheus.CounterVec
	revoked     prometheus.Counter
	suspect     prometheus.Gauge
	ports       *Ports
	calls       *Calls
}

// New registers the metrics with reg.
func New(reg prometheus.Registerer, log *slog.Logger) *Recorder {
	start := time.Now()
	now := func() time.Duration { return time.Since(start) }
	r := &Recorder{
		log: log, ports: NewPorts(now), calls: NewCalls(now),
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_gateway_connections_total", Help: "Ended connections by side, service, the cluster at the other end and outcome.",
		}, []string{"side", "service", "cluster", "outcome"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_egress_attempts_total", Help: "Attempts to reach a target cluster, by outcome.",
		}, []string{"cluster", "outcome"}),
		connect: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "causeway_egress_connect_seconds", Help: "From accepting a client to an endpoint's acceptance.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .2, .4, .8, 1.6, 3.2},
		}, []string{"cluster"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_gateway_bytes_total", Help: "Payload bytes of ended connections, by side, service and direction (in is towards the client).",
		}, []string{"side", "service", "direction"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "causeway_gateway_active_connections", Help: "Connections being carried now, by side.",
		}, []string{"side"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_ingress_refused_total", Help: "Connections and streams that the ingress has refused, by reason.",
		}, []string{"reason"}),
		tables: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "causeway_gateway_tables_total", Help: "Route tables received, by what became of them.",
		}, []string{"outcome"}),
		revoked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "causeway_gateway_tunnels_revoked_total", Help: "Tunnels closed because their peer is no member any more, or its certificate is not trusted or has expired.",
		}),
		suspect: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "causeway_gateway_self_suspect_state", Help: "1 while all peers are silent: the fault may be our own.",
		}),
	}
	reg.MustRegister(r.connections, r.attempts, r.connect, r.bytes, r.active, r.refused, r.tables, r.revoked, r.suspect)
	return r
}

// The sides of a gateway.
const (
	Egress  = "egress"
	Ingress = "ingress"
)

// Ports counts what goes on at our own endpoints.
func (r *Recorder) Ports() *Ports { return r.ports }

// Calls counts what became of local clients' connections.
func (r *Recorder) Calls() *Calls { return r.calls }

// Access is one ended connection.
type Access struct {
	Side     string
	Service  federation.ServicePort
	Cluster  federation.ClusterName // target at the egress, caller at the ingress
	Gateway  string                 // the peer gateway's instance
	Client   string
	Attempts int
	// Connect is the time until an endpoint had accepted; 0 when none did.
	Connect, Duration time.Duration
	Sent, Received    int64 // bytes from the client, and to it
	Outcome           string
	Err               error
}

// Began counts a connection as active; Ended takes it back.
func (r *Recorder) Began(side string) { r.active.WithLabelValues(side).Inc() }

// Ended counts and logs a connection that Began has counted.
func (r *Recorder) Ended(a Access) {
	r.active.WithLabelValues(a.Side).Dec()
	service := a.Service.String()
	r.connections.WithLabelValues(a.Side, service, string(a.Cluster), a.Outcome).Inc()
	r.bytes.WithLabelValues(a.Side, service, "out").Add(float64(a.Sent))
	r.bytes.WithLabelValues(a.Side, service, "in").Add(float64(a.Received))
	if a.Connect > 0 && a.Side == Egress {
		r.connect.WithLabelValues(string(a.Cluster)).Observe(a.Connect.Seconds())
	}
	if !r.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("side", a.Side), slog.String("service", service), slog.String("cluster", string(a.Cluster)),
		slog.String("gateway", a.Gateway), slog.String("client", a.Client), slog.Int("attempts", a.Attempts),
		slog.Duration("connect", a.Connect), slog.Duration("duration", a.Duration),
		slog.Int64("sent", a.Sent), slog.Int64("received", a.Received), slog.String("outcome", a.Outcome)}
	if a.Err != nil {
		attrs = append(attrs, slog.String("error", a.Err.Error()))
	}
	r.log.LogAttrs(context.Background(), slog.LevelDebug, "connection", attrs...)
}

// Attempt counts one try of the egress.
func (r *Recorder) Attempt(c federation.ClusterName, outcome string) {
	r.attempts.WithLabelValues(string(c), outcome).Inc()
}

// Refused counts what the ingress has turned away.
func (r *Recorder) Refused(reason string) { r.refused.WithLabelValues(reason).Inc() }

// Table counts a route table that has come.
func (r *Recorder) Table(outcome string) { r.tables.WithLabelValues(outcome).Inc() }

// Revoked counts tunnels whose peer is no longer to be trusted.
func (r *Recorder) Revoked(n int) { r.revoked.Add(float64(n)) }

// Suspect says whether all peers are silent at once.
func (r *Recorder) Suspect(yes bool) {
	v := 0.0
	if yes {
		v = 1
	}
	r.suspect.Set(v)
}
