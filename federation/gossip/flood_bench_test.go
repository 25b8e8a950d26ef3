//go:build bench

package gossip

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	cli "flag"
	"io"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

var floodFor = cli.Duration("flood-for", 10*time.Second, "how long TestBenchFlood measures")

// floodRole, in the environment, makes TestBenchFlood the reader that is flooded.
const floodRole = "CAUSEWAY_BENCH_READER"

const (
	floodRate  = 50_000 // messages per second that the flooder would send
	floodLinks = 12     // connections of the flooder: a member may have 16
)

// victim is what the reader is told about itself, and glance what it says of itself.
type (
	victim struct {
		Cert, Key, Bundle []byte
		Owner             string // the honest owner's address
	}
	glance struct {
		Address           string
		CPU               time.Duration // used so far
		Ready             int64         // what it holds of the owner; -1 is nothing
		Epoch             uint64
		Status            MemberStatus // of the owner
		Records           int
		Refused, Throttle float64
	}
)

// TestBenchFlood floods a reader, a process of its own at shipped defaults, over mutual TLS
// on loopback: FAULTS row 20. The flooder is a member with a valid key; an owner goes on
// speaking meanwhile: it is to be heard, and never to be taken for dead.
func TestBenchFlood(t *testing.T) {
	if os.Getenv(floodRole) != "" {
		beReader(t)
		return
	}
	t.Run("small", func(t *testing.T) { measureFlood(t, "flood", smallMessages) })
	t.Run("large", func(t *testing.T) { measureFlood(t, "flood_large", largeMessages) })
}

func measureFlood(t *testing.T, name string, messages func(*testing.T, liar) [][]byte) {
	t.Helper()
	ca := identitytest.NewCA(t, testDomain)
	east := newSeat(t, ca, "us-east")
	r := startReader(t, ca, east.address)
	federate(t, east)
	east.SetPeers(map[federation.ClusterName][]string{"us-west": {r.look(t).Address}})
	said := int64(1)
	east.say(1, 1000)
	await(t, "the owner to be heard", func() bool { g := r.look(t); return g.Status == Alive && g.Ready == 1 })
	before, at := r.look(t), time.Now()
	<-time.After(2 * time.Second)
	quiet := 100 * (r.look(t).CPU - before.CPU).Seconds() / time.Since(at).Seconds()

	mallory := newLiar(t, ca, "eu-west", "us-west")
	sent := flood(t, mallory, before.Address, messages(t, mallory))
	await(t, "the burst to be used up", func() bool { return r.look(t).Throttle > 20 })
	first, from, written := r.look(t), time.Now(), sent.Load()
	var slowest time.Duration
	looks, doubted := 0, 0
	for time.Since(from) < *floodFor {
		said++
		began := time.Now()
		east.say(uint32(said), 1000)
		await(t, "the owner to be heard in the flood", func() bool {
			g := r.look(t)
			looks++
			doubted += count(g.Status == Suspect) // SWIM's word, which anybody can give: a hint
			if g.Status != Alive && g.Status != Suspect || g.Epoch != 1 || g.Records != 1 || g.Ready < said-1 {
				t.Fatalf("the flood has changed what is held of others: %+v, the owner's word is %d", g, said)
			}
			return g.Ready == said
		})
		slowest = max(slowest, time.Since(began))
		<-time.After(100 * time.Millisecond)
	}
	last, took := r.look(t), time.Since(from).Seconds()
	figure(name+"_core_percent", float64(int(1000*(last.CPU-first.CPU).Seconds()/took))/10, "percent")
	figure(name+"_quiet_core_percent", float64(int(10*quiet))/10, "percent")
	figure(name+"_refused_per_s", float64(int((last.Refused-first.Refused)/took)), "messages/s")
	figure(name+"_written_per_s", float64(int(float64(sent.Load()-written)/took)), "messages/s")
	figure(name+"_suspect_percent", float64(int(1000*float64(doubted)/float64(looks)))/10, "percent")
	figure(name+"_flip_max_ms", ms(slowest), "ms")
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// smallMessages are some of every kind that costs something.
func smallMessages(t *testing.T, l liar) [][]byte {
	t.Helper()
	garbage, err := seal(l.cert, []byte("no batch at all"))
	if err != nil {
		t.Fatal(err)
	}
	forged := l.seal(t, down(2, 1))
	forged[20]++
	valid := batchFrame(l.seal(t, batch{Version: federation.Version{Epoch: 1, Sequence: 1}, Snapshot: true}))
	packet := func(kind byte) []byte {
		msg := append([]byte{244, byte(len(testFed))}, testFed...)
		msg = append(msg, kind, 0x83)
		for _, s := range []string{"Node", "us-east", "From", "eu-west", "Incarnation"} {
			msg = append(append(msg, 0xa0|byte(len(s))), s...)
		}
		return appendFrame(nil, framePacket, 0, append(msg, 0xcd, 1, 0))
	}
	return [][]byte{
		batchFrame(garbage), batchFrame(forged), valid, appendFrame(nil, 77, 0, make([]byte, 100)),
		appendFrame(nil, frameBeat, 0, encodeBeacon(beacon{Owner: "us-east", Version: federation.Version{Epoch: 1, Sequence: 1}, Ticks: chainLength})),
		appendFrame(nil, frameDigest, 0, encodeHoldings([]holding{{Owner: "us-east"}})),
		appendFrame(nil, frameOwn, 0, encode(statement{Owner: "us-east", Floor: 9})),
		packet(3), packet(5), // suspect, dead
		appendFrame(nil, framePacket, 0, append(append([]byte{244, byte(len(testFed))}, testFed...), 8, frameBatch, 0, 'x')),
	}
}

// largeMessages are batches with signatures that fit, as long as a frame may be.
func largeMessages(t *testing.T, l liar) [][]byte {
	t.Helper()
	sealed, err := seal(l.cert, make([]byte, DefaultConfig().MaxMessageBytes-2*sealHead))
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{batchFrame(sealed)}
}

// flood sends floodRate messages a second, as long as they are taken, and returns how many
// have been.
func flood(t *testing.T, l liar, address string, kinds [][]byte) *atomic.Int64 {
	t.Helper()
	sent := new(atomic.Int64)
	for range floodLinks {
		conn, err := tls.Dial("tcp", address, l.conf)
		if err != nil {
			t.Fatal(err)
		}
		written, read := make(chan struct{}), make(chan struct{})
		go func() { defer close(read); _, _ = io.Copy(io.Discard, conn) }()
		go func() {
			defer close(written)
			_, _ = conn.Write(preamble(kindLink))
			_, err := conn.Write(append(hello(), l.key()...))
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for i := 0; err == nil; <-tick.C {
				for range floodRate / 100 / floodLinks {
					if _, err = conn.Write(kinds[i%len(kinds)]); err != nil {
						return
					}
					i++
					sent.Add(1)
				}
			}
		}()
		t.Cleanup(func() { _ = conn.NetConn().Close(); <-written; <-read })
	}
	return sent
}

// flooded is the process that is flooded.
type flooded struct {
	in  io.Writer
	out *bufio.Scanner
}

func startReader(t *testing.T, ca *identitytest.CA, owner string) *flooded {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestBenchFlood$", "-test.timeout", "1h")
	cmd.Env, cmd.Stderr = append(os.Environ(), floodRole+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _, _ = io.Copy(io.Discard, out); _ = cmd.Wait() })
	v := victim{Bundle: ca.Bundle(), Owner: owner}
	v.Cert, v.Key = ca.Issue(testID("us-west", identity.RoleOperator))
	if err := json.NewEncoder(in).Encode(v); err != nil {
		t.Fatal(err)
	}
	return &flooded{in, bufio.NewScanner(out)}
}

func (r *flooded) look(t *testing.T) (g glance) {
	t.Helper()
	if _, err := io.WriteString(r.in, "{}\n"); err != nil {
		t.Fatal(err)
	}
	if !r.out.Scan() {
		t.Fatal("the reader has ended")
	}
	if err := json.Unmarshal(r.out.Bytes(), &g); err != nil {
		t.Fatalf("%s: %v", r.out.Text(), err)
	}
	return g
}

// beReader is the flooded process: a seat, and an answer for each line.
func beReader(t *testing.T) {
	lines := json.NewDecoder(os.Stdin)
	var v victim
	if err := lines.Decode(&v); err != nil {
		t.Fatal(err)
	}
	source := identity.NewSource()
	if err := source.SetKeyPair(v.Cert, v.Key); err != nil {
		t.Fatal(err)
	}
	if err := source.SetBundle(testDomain, v.Bundle); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Epoch = testFed, "us-west", 1
	s := &seat{address: l.Addr().String(), metrics: prometheus.NewRegistry()}
	if s.Gossip, err = New(cfg, seatDeps(source, &plug{Listener: l}, s.metrics)); err != nil {
		t.Fatal(err)
	}
	s.SetPeers(map[federation.ClusterName][]string{"us-east": {v.Owner}, "eu-west": nil})
	go func() { _ = s.Run(context.Background()) }()
	answer := json.NewEncoder(os.Stdout)
	for {
		var ask struct{}
		if lines.Decode(&ask) != nil {
			os.Exit(0) // nobody waits for what is measured
		}
		g := glance{Address: s.address, CPU: cpu(t), Ready: -1, Status: s.Members()["us-east"].Status}
		held := s.Records()["us-east"]
		g.Records = len(held)
		if r, ok := held[wirePort]; ok {
			g.Ready, g.Epoch = int64(r.Ready), r.Version.Epoch
		}
		for _, n := range s.refused(t) {
			g.Refused += n
		}
		g.Throttle = s.counted(t, "causeway_gossip_throttled_total", "eu-west")
		if err := answer.Encode(g); err != nil {
			t.Error(err)
			return
		}
	}
}
