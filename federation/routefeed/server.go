package routefeed

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	pb "github.com/causeway-mesh/causeway/federation/routefeed/feedpb"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// maxReport bounds one report: 250 peers with two gateways each take 60 KiB.
const maxReport = 1 << 20

// aliveEvery is how often a feeder with nothing new to say shows that it lives. A
// gateway obeys another feeder only after a much longer silence.
const aliveEvery = 2 * time.Second

// ServerDeps is what a Server works with.
type ServerDeps struct {
	// TLS must verify that the caller is a gateway of this cluster.
	TLS *tls.Config
	// OnReport is called for each report, from the stream's goroutine.
	OnReport func(routing.GatewayReport)
	// OnGone is called when a gateway's stream has ended.
	OnGone func(instance string)
	// AliveEvery is how often the table in force is named again while it does not
	// change; 0 is 2 s.
	AliveEvery time.Duration
	// OnUnknown counts messages without a report, as a later version may send; they
	// are skipped. May be nil.
	OnUnknown func()
	Log       *slog.Logger
}

// Server feeds gateways. It serves nothing before the first Publish: a gateway
// that connects to a standby hears nothing and keeps what it has.
type Server struct {
	pb.UnimplementedRouteFeedServer
	deps ServerDeps

	mu    sync.Mutex
	table *routing.Table // nil until Publish, and after Silence
	wake  chan struct{}  // closed and replaced at each change of table
}

// NewServer returns a server; Serve makes it work.
func NewServer(deps ServerDeps) *Server {
	deps.AliveEvery = cmp.Or(deps.AliveEvery, aliveEvery)
	return &Server{deps: deps, wake: make(chan struct{})}
}

// Publish makes t the table that every gateway gets. t must not be changed after.
func (s *Server) Publish(t routing.Table) { s.set(&t) }

// Silence stops feeding, for a leader that has been superseded: gateways keep
// their table until the new leader feeds them.
func (s *Server) Silence() { s.set(nil) }

func (s *Server) set(t *routing.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table = t
	close(s.wake)
	s.wake = make(chan struct{})
}

func (s *Server) get() (*routing.Table, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table, s.wake
}

// Serve answers on l until ctx ends, then closes every stream and returns.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(s.deps.TLS)),
		grpc.MaxRecvMsgSize(maxReport),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 5 * time.Second, Timeout: 3 * time.Second}),
		grpc.ConnectionTimeout(5*time.Second),
	)
	pb.RegisterRouteFeedServer(server, s)
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serving the route feed on %s: %w", l.Addr(), err)
	}
	return nil
}

// Feed is the gRPC handler of one gateway's stream.
func (s *Server) Feed(stream grpc.BidiStreamingServer[pb.GatewayMessage, pb.OperatorMessage]) error {
	resync := make(chan struct{}, 1) // receiver sends, sender drains; one pending request is enough
	received := make(chan error, 1)
	var instance string
	ready := make(chan struct{}) // closed after the first report
	go func() { received <- s.receive(stream, &instance, ready, resync) }()

	select {
	case err := <-received:
		return err
	case <-ready:
	}
	sent := s.send(stream, resync, received)
	s.deps.Log.Info("gateway's feed has ended", "gateway", instance, "error", sent)
	s.deps.OnGone(instance)
	return sent
}

// receive reads reports until the stream ends. instance is written once, before
// ready is closed.
func (s *Server) receive(stream grpc.BidiStreamingServer[pb.GatewayMessage, pb.OperatorMessage], instance *string, ready chan<- struct{}, resync chan<- struct{}) error {
	for first := true; ; {
		msg, err := stream.Recv()
		if err != nil {
			return err
		}
		if msg.GetReport() == nil && !msg.GetResync() {
			if s.deps.OnUnknown != nil {
				s.deps.OnUnknown()
			}
			continue
		}
		report, err := reportFromPB(msg.GetReport())
		if err != nil {
			return fmt.Errorf("reading report: %w", err)
		}
		if first {
			*instance = report.Instance
			s.deps.Log.Info("gateway has connected", "gateway", report.Instance, "advertises", report.Advertise)
			close(ready)
			first = false
		}
		if report.Instance != *instance {
			return fmt.Errorf("gateway %q changed its name to %q", *instance, report.Instance)
		}
		s.deps.OnReport(report)
		if msg.GetResync() {
			select {
			case resync <- struct{}{}:
			default:
			}
		}
	}
}

// send writes the current table whenever it changes: full first, then deltas; and an
// empty delta now and then, which says that the feeder lives and stands by its table.
func (s *Server) send(stream grpc.BidiStreamingServer[pb.GatewayMessage, pb.OperatorMessage], resync <-chan struct{}, received <-chan error) error {
	alive := time.NewTicker(s.deps.AliveEvery)
	defer alive.Stop()
	var sent *routing.Table
	again := false
	for {
		table, wake := s.get()
		if table != nil && (again || sent == nil || sent.Version != table.Version) {
			if err := stream.Send(message(sent, *table)); err != nil {
				return err
			}
		}
		sent, again = table, false
		select {
		case <-wake:
		case <-alive.C:
			again = true
		case <-resync:
			sent = nil
		case err := <-received:
			return err
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

func message(sent *routing.Table, next routing.Table) *pb.OperatorMessage {
	if sent == nil {
		return &pb.OperatorMessage{Body: &pb.OperatorMessage_Full{Full: tableToPB(next)}}
	}
	return &pb.OperatorMessage{Body: &pb.OperatorMessage_Delta{Delta: diff(*sent, next)}}
}
