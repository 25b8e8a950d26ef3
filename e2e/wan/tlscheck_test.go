package wan

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// stream cuts bytes into segments after a SYN.
func stream(payload []byte, size int) [][]byte {
	const isn = 1<<32 - 50 // wraps around early
	at := func(seq uint32, syn bool, b []byte) []byte {
		s := segment("")
		s = append(s, b...)
		binary.BigEndian.PutUint16(s[2:], uint16(len(s)))
		binary.BigEndian.PutUint32(s[24:], seq)
		s[33] = 0x10
		if syn {
			s[33] = 0x02
		}
		return s
	}
	seq := uint32(isn)
	out := [][]byte{at(seq, true, nil)}
	seq++
	for len(payload) > 0 {
		n := min(size, len(payload))
		out = append(out, at(seq, false, payload[:n]))
		seq, payload = seq+uint32(n), payload[n:]
	}
	return out
}

func record(kind byte, n int) []byte {
	return append([]byte{kind, 3, 3, byte(n >> 8), byte(n)}, bytes.Repeat([]byte{0xee}, n)...)
}

func check(packets [][]byte) TLSReport {
	var c TLSCheck
	for _, p := range packets {
		c.Packet(Packet{IP: p})
	}
	return c.Report()
}

func TestTLSCheckPassesRecordsHoweverTheyAreCut(t *testing.T) {
	payload := bytes.Join([][]byte{record(22, 300), record(20, 1), record(23, 16000), record(23, 0), record(21, 2)}, nil)
	for _, size := range []int{1, 7, 100, 1400, 20000} {
		packets := stream(payload, size)
		rest := packets[1:]
		rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		packets = append(packets, rest[0]) // and a retransmission
		r := check(packets)
		if len(r.Findings) != 0 || r.Records != 5 || r.Streams != 1 || r.Partial != 0 {
			t.Errorf("cut every %d bytes: %+v", size, r)
		}
	}
}

func TestTLSCheckFindsWhatIsNotTLS(t *testing.T) {
	for name, payload := range map[string][]byte{
		"http":                         []byte("GET / HTTP/1.1\r\n\r\n"),
		"plain text between records":   append(record(22, 10), "hello, world"...),
		"application data comes first": record(23, 10),
		"a record that is too long":    append([]byte{22, 3, 3, 0xff, 0xff}, "x"...),
	} {
		if r := check(stream(payload, 5)); len(r.Findings) != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestTLSCheckTellsOfStreamsItSawTooLate(t *testing.T) {
	if r := check(stream(record(22, 100), 50)[1:]); r.Partial != 1 || r.Streams != 0 {
		t.Errorf("%+v", r)
	}
}

func TestTLSCheckBoundsWhatItHolds(t *testing.T) {
	packets := stream(make([]byte, maxPending+100_000), 60_000)
	packets = append(packets[:1], packets[2:]...) // the first segment never comes
	if r := check(packets); len(r.Findings) != 1 || !strings.Contains(r.Findings[0], "never came") {
		t.Errorf("%+v", r)
	}
}

func FuzzTLSCheck(f *testing.F) {
	f.Add(record(22, 10), uint16(3))
	f.Add([]byte("GET / HTTP/1.1\r\n"), uint16(1))
	f.Fuzz(func(t *testing.T, payload []byte, size uint16) {
		if len(payload) > 1<<16 {
			return
		}
		var whole recordReader
		err := whole.read(payload)
		r := check(stream(payload, int(size)+1))
		if (err != nil) != (len(r.Findings) == 1) {
			t.Errorf("read at once: %v; in segments: %+v", err, r)
		}
	})
}

func TestPcapHeaders(t *testing.T) {
	var b bytes.Buffer
	p, err := NewPcap(&b)
	if err != nil {
		t.Fatal(err)
	}
	p.Packet(Packet{At: time.Unix(1, 2000), IP: segment("hi")})
	if b.Len() != 24+16+42 || p.Err() != nil {
		t.Errorf("%d bytes, %v", b.Len(), p.Err())
	}
}
