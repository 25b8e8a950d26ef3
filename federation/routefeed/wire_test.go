package routefeed

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	pb "github.com/causeway-mesh/causeway/federation/routefeed/feedpb"
	"github.com/causeway-mesh/causeway/federation/routefeed/wiretest"
	"github.com/causeway-mesh/causeway/federation/routing"
)

var (
	checkout = federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "checkout"}, Port: 80}
	cart     = federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "cart"}, Port: 8080}
	version  = routing.TableVersion{Epoch: 3, Feeder: "causeway-operator-0", Sequence: 7}
)

// wireTable has every field of a table.
func wireTable() routing.Table {
	return routing.Table{
		Version: version, Self: "eu-west", Federation: "prod",
		Peers: map[federation.ClusterName]routing.Peer{"us-east": {
			Cluster: "us-east", Region: "us-east-1", TrustDomain: "mesh.example.org",
			Gateways: []federation.GatewayAddress{{Instance: "gw-0", Address: "10.0.0.1:15443"}, {Instance: "gw-1", Address: "gw.us-east.example.org:15443"}},
		}},
		Routes: map[federation.ServicePort]routing.Route{checkout: {
			Port: checkout, EgressPort: 20001, AppProtocol: "http", EarlyData: true, Rule: "eu-west:shop/checkout",
			Tiers: []routing.Tier{
				{Region: "eu-west-1", Targets: []routing.Target{{Cluster: "eu-west", Weight: 2}}},
				{Region: "us-east-1", Targets: []routing.Target{{Cluster: "us-east", Weight: 3, LastResort: true}}},
			},
		}},
		Served:    map[federation.ServicePort]routing.Served{checkout: {Port: checkout, Endpoints: []string{"10.1.0.4:8080", "10.1.0.5:8080"}}},
		Bundles:   map[federation.TrustDomain][]byte{"mesh.example.org": []byte("-----BEGIN CERTIFICATE-----\n")},
		Operators: []routing.Operator{{Name: "causeway-operator-0", GossipAddress: "10.1.0.2:15011", Leader: true}},
	}
}

// wireNext is the table that follows: everything has changed.
func wireNext() routing.Table {
	next := wireTable()
	next.Version.Sequence = 8
	next.Peers = map[federation.ClusterName]routing.Peer{"us-west": {Cluster: "us-west", Region: "us-west-2", TrustDomain: "mesh.example.org"}}
	next.Routes = map[federation.ServicePort]routing.Route{cart: {Port: cart, EgressPort: 20002, Rule: "default"}}
	next.Served = map[federation.ServicePort]routing.Served{cart: {Port: cart, Endpoints: []string{"10.1.0.6:8080"}}}
	next.Operators = nil
	return next
}

func wireReport() routing.GatewayReport {
	return routing.GatewayReport{
		Instance: "gw-0", Advertise: "[2001:db8::1]:15443", Local: "2001:db8::1", Applied: version, Draining: true,
		Paths: []routing.PathReport{{Cluster: "us-east", Address: "10.0.0.1:15443", State: routing.PathDown, RTT: 66 * time.Millisecond,
			Silence: 612 * time.Millisecond, Refused: true, Cause: "silent for 612ms on 2 connections"}},
		FailedPorts: map[federation.ServicePort]string{checkout: "address already in use"},
		TrustErrors: map[federation.ClusterName]string{"us-east": "certificate is not trusted"},
	}
}

func full(t routing.Table) *pb.OperatorMessage {
	return &pb.OperatorMessage{Body: &pb.OperatorMessage_Full{Full: tableToPB(t)}}
}

func delta(base, next routing.Table) *pb.OperatorMessage {
	return &pb.OperatorMessage{Body: &pb.OperatorMessage_Delta{Delta: diff(base, next)}}
}

// fixture reads a message of version 1 into into. Protobuf has no one encoding, so only
// what it means must stay.
func fixture(t *testing.T, name string, now, into proto.Message) {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(now)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(wiretest.Bytes(t, name, data), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// later is a message with a field that version 1 does not know.
func later(m proto.Message) proto.Message {
	m.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 100, protowire.BytesType), "who knows"))
	return m
}

func TestWireTablesMeanWhatTheyMeantInVersion1(t *testing.T) {
	c := &Client{}
	for name, f := range map[string]struct {
		held *routing.Table
		now  *pb.OperatorMessage
		want routing.Table
	}{
		"operator-full":  {nil, full(wireTable()), wireTable()},
		"operator-delta": {new(wireTable()), delta(wireTable(), wireNext()), wireNext()},
		"operator-alive": {new(wireTable()), delta(wireTable(), wireTable()), wireTable()},
		"operator-full-from-a-later-version": {nil, func() *pb.OperatorMessage {
			m := full(wireTable())
			later(m.GetFull())
			later(m.GetFull().GetRoutes()[0])
			return m
		}(), wireTable()},
	} {
		var msg pb.OperatorMessage
		fixture(t, name, f.now, &msg)
		got, err := c.next(f.held, &msg)
		if d := cmp.Diff(f.want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
}

func TestWireReportsMeanWhatTheyMeantInVersion1(t *testing.T) {
	for name, f := range map[string]struct {
		now  *pb.GatewayMessage
		want routing.GatewayReport
	}{
		"gateway-report":                      {&pb.GatewayMessage{Report: reportToPB(wireReport())}, wireReport()},
		"gateway-first-report":                {&pb.GatewayMessage{Report: reportToPB(routing.GatewayReport{Instance: "gw-0"})}, routing.GatewayReport{Instance: "gw-0"}},
		"gateway-ack":                         {&pb.GatewayMessage{Report: reportToPB(routing.GatewayReport{Instance: "gw-0", Applied: version})}, routing.GatewayReport{Instance: "gw-0", Applied: version}},
		"gateway-resync":                      {&pb.GatewayMessage{Report: reportToPB(routing.GatewayReport{Instance: "gw-0"}), Resync: true}, routing.GatewayReport{Instance: "gw-0"}},
		"gateway-report-with-uses":            {&pb.GatewayMessage{Report: reportToPB(wireUses())}, wireUses()},
		"gateway-report-from-a-later-version": {later(&pb.GatewayMessage{Report: later(reportToPB(wireReport())).(*pb.Report)}).(*pb.GatewayMessage), wireReport()},
	} {
		var msg pb.GatewayMessage
		fixture(t, name, f.now, &msg)
		got, err := reportFromPB(msg.GetReport())
		if d := cmp.Diff(f.want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
		if msg.GetResync() != (name == "gateway-resync") {
			t.Errorf("%s: resync is %t", name, msg.GetResync())
		}
	}
}

// What was added since: older gateways leave it out, older operators skip it.
func TestMeasurementsOfAPathTravel(t *testing.T) {
	want := wireReport()
	want.Paths[0].Jitter, want.Paths[0].Loss = 3*time.Millisecond, 0.05
	want.Paths[0].Hung, want.Paths[0].Unheard, want.Paths[0].Draining = true, true, true
	got, err := reportFromPB(reportToPB(want))
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	wild := reportToPB(want)
	wild.Paths[0].LossPpm = 4_000_000_000
	if got, _ := reportFromPB(wild); got.Paths[0].Loss != 1 {
		t.Errorf("a loss of 4000 is read as %f", got.Paths[0].Loss)
	}
}

// wireUses is a report of a gateway that counts; one that counts and has nothing to say
// is not one that does not count.
func wireUses() routing.GatewayReport {
	return routing.GatewayReport{Instance: "gw-0", Applied: version, Uses: map[federation.ServicePort]routing.PortUse{
		checkout: {InFlight: 120, Ended: 900, Failed: 45}, cart: {InFlight: 1},
	}}
}

func TestUsesTravelAndNoneIsToldFromUnknown(t *testing.T) {
	for name, want := range map[string]map[federation.ServicePort]routing.PortUse{
		"not counted": nil, "at rest": {}, "in use": wireUses().Uses,
	} {
		got, err := reportFromPB(reportToPB(routing.GatewayReport{Instance: "gw-0", Uses: want}))
		if d := cmp.Diff(want, got.Uses); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
	wild := reportToPB(wireUses())
	wild.Uses.Ports[0].Failed = 4_000_000_000
	if got, _ := reportFromPB(wild); got.Uses[cart].Failed != got.Uses[cart].Ended {
		t.Errorf("more failed than ended: %+v", got.Uses[cart])
	}
	wild.Uses.Ports[0].Port.Port = 70_000
	if _, err := reportFromPB(wild); err == nil {
		t.Error("port 70000 is taken")
	}
}

func TestCallsTravelAndNoneIsToldFromUnknown(t *testing.T) {
	called := map[federation.ServicePort]routing.PortCalls{checkout: {Outcomes: 900, Failed: 45, Slowest: 80 * time.Millisecond}, cart: {Outcomes: 1}}
	for name, want := range map[string]map[federation.ServicePort]routing.PortCalls{"not counted": nil, "not called": {}, "called": called} {
		got, err := reportFromPB(reportToPB(routing.GatewayReport{Instance: "gw-0", Calls: want}))
		if d := cmp.Diff(want, got.Calls); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
	wild := reportToPB(routing.GatewayReport{Instance: "gw-0", Calls: called})
	wild.Calls.Ports[0].Failed, wild.Calls.Ports[0].SlowestUs = 4_000_000_000, math.MaxUint64
	if got, _ := reportFromPB(wild); got.Calls[cart].Failed != 1 || got.Calls[cart].Slowest != time.Hour {
		t.Errorf("what cannot be: %+v", got.Calls[cart])
	}
	wild.Calls.Ports[0].Port.Port = 70_000
	if _, err := reportFromPB(wild); err == nil {
		t.Error("port 70000 is taken")
	}
}

// A field that is passed on keeps what a later version has put into it.
func TestUnknownFieldsArePreserved(t *testing.T) {
	var msg pb.GatewayMessage
	fixture(t, "gateway-report-from-a-later-version", &pb.GatewayMessage{}, &msg)
	again, err := proto.Marshal(&msg)
	if err != nil {
		t.Fatal(err)
	}
	var twice pb.GatewayMessage
	if err := proto.Unmarshal(again, &twice); err != nil || !proto.Equal(&msg, &twice) || len(twice.ProtoReflect().GetUnknown()) == 0 {
		t.Errorf("%v: %v", err, &twice)
	}
}

func TestNoFixtureIsForgotten(t *testing.T) {
	wiretest.Complete(t, map[string]bool{
		"operator-full": true, "operator-delta": true, "operator-alive": true, "operator-full-from-a-later-version": true,
		"operator-message-of-a-later-version": true, "gateway-message-of-a-later-version": true,
		"gateway-report": true, "gateway-first-report": true, "gateway-ack": true, "gateway-resync": true, "gateway-report-with-uses": true, "gateway-report-from-a-later-version": true,
	})
}

// laterFeeder is a server whose messages are partly of a kind that we do not know.
type laterFeeder struct {
	pb.UnimplementedRouteFeedServer
	messages []*pb.OperatorMessage
}

func (f *laterFeeder) Feed(stream grpc.BidiStreamingServer[pb.GatewayMessage, pb.OperatorMessage]) error {
	for _, m := range f.messages {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	return nil
}

func TestMessagesOfALaterVersionAreSkippedAndCounted(t *testing.T) {
	var strange pb.OperatorMessage
	fixture(t, "operator-message-of-a-later-version", later(&pb.OperatorMessage{}), &strange)
	unknown := make(chan struct{}, 10)
	tables := make(chan routing.Table, 10)
	serveLater(t, &laterFeeder{messages: []*pb.OperatorMessage{&strange, full(wireTable()), &strange, delta(wireTable(), wireNext())}},
		ClientDeps{
			Report: func() routing.GatewayReport { return routing.GatewayReport{Instance: "gw-0"} },
			Apply:  func(table routing.Table) { tables <- table }, OnUnknown: func() { unknown <- struct{}{} },
		})
	for _, want := range []routing.Table{wireTable(), wireNext()} {
		if d := cmp.Diff(want, <-tables); d != "" {
			t.Error(d)
		}
		<-unknown
	}
}

func TestServerSkipsMessagesOfALaterVersion(t *testing.T) {
	var strange pb.GatewayMessage
	fixture(t, "gateway-message-of-a-later-version", later(&pb.GatewayMessage{}), &strange)
	unknown, reports := make(chan struct{}, 10), make(chan routing.GatewayReport, 10)
	ca := identitytest.NewCA(t, "d")
	address := serve(t, NewServer(ServerDeps{
		TLS: ca.Source(ownID(identity.RoleOperator)).ServerConfig(identity.Exactly(ownID(identity.RoleGateway))), Log: discard,
		OnReport: func(r routing.GatewayReport) { reports <- r }, OnGone: func(string) {}, OnUnknown: func() { unknown <- struct{}{} },
	}))
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(
		ca.Source(ownID(identity.RoleGateway)).ClientConfig(identity.Exactly(ownID(identity.RoleOperator)), ""))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	feed, err := pb.NewRouteFeedClient(conn).Feed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	report := &pb.GatewayMessage{Report: reportToPB(wireReport())}
	for _, m := range []*pb.GatewayMessage{&strange, report, &strange, report} {
		if err := feed.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if d := cmp.Diff(wireReport(), <-reports); d != "" {
			t.Error(d)
		}
		<-unknown
	}
}
