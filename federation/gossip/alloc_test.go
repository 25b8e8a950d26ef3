package gossip

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/causeway-mesh/causeway/federation"
)

// What a decoder may allocate: so many times its input, and a constant for the error and
// for what is made before anything has been read.
const (
	allocTimes    = 10
	allocConstant = 2 << 10
)

var allocBounds = bounds{clusters: 256, services: 1000, bytes: 1 << 20}

// decoders are all that read a peer's bytes.
var decoders = map[string]func(data []byte){
	"batch":      func(b []byte) { _, _ = decodeBatch(b, allocBounds.services) },
	"peek":       func(b []byte) { _ = peekBatch(b) },
	"split":      func(b []byte) { _, _, _ = splitBatch(b) },
	"unseal":     func(b []byte) { _, _, _ = unseal(b) },
	"frame":      func(b []byte) { _, _ = readFrame(bytes.NewReader(b), allocBounds.bytes) },
	"preamble":   func(b []byte) { _, _ = readPreamble(bytes.NewReader(b)) },
	"legs":       func(b []byte) { _, _ = decodeLegs(b, "us-east", allocBounds) },
	"coordinate": func(b []byte) { _, _ = decodeCoordinate(b) },
	"chain":      func(b []byte) { _, _ = decodeChain(b) },
	"digest":     func(b []byte) { _, _ = decodeHoldings(b, allocBounds) },
	"hello":      func(b []byte) { _, _ = decodeHello(b, "us-east") },
	"beat":       func(b []byte) { _, _ = decodeBeacon(b) },
	"version 1":  func(b []byte) { _, _ = decode(b, allocBounds) },
}

// FAULTS row 19: no input makes a decoder allocate more than ten times its size.
func TestDecoderAllocationIsBounded(t *testing.T) {
	inputs := hostile()
	for name, seed := range corpora(t) {
		inputs[name] = seed
	}
	for decoder, decode := range decoders {
		worst, of := 0.0, ""
		for name, data := range inputs {
			got := allocated(func() { decode(data) })
			if limit := allocTimes*len(data) + allocConstant; got > limit {
				t.Errorf("%s of %s: %d bytes for %d, at most %d are allowed", decoder, name, got, len(data), limit)
			}
			if times := float64(got) / float64(len(data)+1); len(data) > 1<<10 && times > worst {
				worst, of = times, name
			}
		}
		t.Logf("%s: %.1f times its input at most, above 1 KiB: %s", decoder, worst, of)
	}
}

// allocated is what a call allocates: the least of some, since others allocate meanwhile.
func allocated(call func()) int {
	var before, after runtime.MemStats
	least := -1
	for range 3 {
		runtime.ReadMemStats(&before)
		call()
		runtime.ReadMemStats(&after)
		if n := int(after.TotalAlloc - before.TotalAlloc); least < 0 || n < least { //nolint:gosec // small
			least = n
		}
	}
	return least
}

// hostile are inputs that make most of each byte: huge counts with little behind them, and
// the smallest elements, as many as there may be.
func hostile() map[string][]byte {
	head := append([]byte{0, 1, 1, 1}, make([]byte, 16)...) // of a batch, before its names
	huge := binary.AppendUvarint(nil, 1<<62)
	many := func(n int, one func(i int) []byte) (out []byte) {
		for i := range n {
			out = append(out, one(i)...)
		}
		return out
	}
	name := func(i int) []byte { s := strconv.FormatInt(int64(i), 36); return append([]byte{byte(len(s))}, s...) }
	bare := func(int) []byte { return []byte{1, 'a'} }
	zeros := func(i int) []byte { return append(name(i), make([]byte, 5)...) }
	counted := func(n int, items []byte) []byte { return append(binary.AppendUvarint(nil, uint64(n)), items...) }
	smallest := batch{Version: federation.Version{Epoch: 1, Sequence: 1}}
	zoned := smallest
	for i := range 2 * allocBounds.services {
		p := federation.ServicePort{Service: federation.ServiceName{Namespace: "n", Name: string(name(i / 100)[1:])}, Port: uint16(i%100 + 1)}
		smallest.Items = append(smallest.Items, item{Port: p, Withdrawn: true})
		zoned.Items = append(zoned.Items, item{Port: p, Health: federation.Health{Zones: many16()}})
	}
	sortItems(smallest.Items)
	sortItems(zoned.Items)
	claim := appendFrame(nil, frameBatch, 0, nil)
	binary.BigEndian.PutUint32(claim[1:], 1<<20)
	return map[string][]byte{
		"nothing":                         {},
		"zeros":                           make([]byte, 1<<16),
		"ones":                            bytes.Repeat([]byte{1}, 1<<16),
		"all bits":                        bytes.Repeat([]byte{255}, 1<<16),
		"a huge count":                    huge,
		"a huge count of names":           append(bytes.Clone(head), huge...),
		"a count of names as long":        append(append(bytes.Clone(head), counted(1<<15, nil)...), make([]byte, 1<<15)...),
		"names of one byte":               append(append(bytes.Clone(head), counted(1<<15, nil)...), many(1<<15, bare)...),
		"names of two bytes, cut":         append(append(bytes.Clone(head), counted(1<<12, nil)...), many(1<<12-1, name)...),
		"the smallest items":              smallest.payload(),
		"zones":                           zoned.payload(),
		"one frame's claim":               claim,
		"a claim, and half of it":         append(bytes.Clone(claim), make([]byte, 1<<19)...),
		"the smallest holdings":           many(256, func(int) []byte { return []byte{1, 'a', 0, 0, 0, 0} }),
		"holdings of all clusters":        many(256, func(i int) []byte { return append(name(i), 0, 0, 0, 0) }),
		"the smallest legs":               counted(256, many(256, func(int) []byte { return []byte{1, 'a', 0, 0, 0, 0, 0} })),
		"legs to all clusters":            counted(256, many(256, zeros)),
		"a count of legs with few":        counted(256, many(4, zeros)),
		"a chain of nothing":              make([]byte, 1<<13),
		"a chain of one byte each":        many(1<<12, func(int) []byte { return []byte{0, 1, 'a'} }),
		"statements of nobody":            append([]byte{codecVersion, 1, 0}, make([]byte, 1<<14)...),
		"statements of all clusters":      encode(statements(256, 0)...),
		"a statement of all services":     encode(statements(1, 2*allocBounds.services)...),
		"a count of records with nothing": append(encode(statements(1, 0)...)[:len(encode(statements(1, 0)...))-4], 0, 0, 7, 0xd0),
		"a frame in a frame in a frame":   appendFrame(nil, 9, 0, appendFrame(nil, 9, 0, appendFrame(nil, 9, 0, smallest.payload()))),
	}
}

func many16() (out []federation.ZoneCount) {
	for i := range federation.MaxZones {
		out = append(out, federation.ZoneCount{Zone: federation.Zone(rune('a' + i))})
	}
	return out
}

func statements(n, records int) (out []statement) {
	v := federation.Version{Epoch: 1, Sequence: 1}
	for range n {
		s := statement{Owner: "a", Beat: beat{Version: v}}
		for i := range records {
			s.Records = append(s.Records, record{Port: federation.ServicePort{Service: federation.ServiceName{Namespace: "n", Name: "s"}, Port: uint16(i + 1)}, Version: v, Renewed: 1})
		}
		out = append(out, s)
	}
	return out
}

// corpora are what fuzzing has kept, and the fixtures of the wire.
func corpora(t *testing.T) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir("testdata", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".md") {
			return err
		}
		data, err := os.ReadFile(path)
		out[path] = data
		if quoted, ok := strings.CutPrefix(string(data), "go test fuzz v1\n[]byte("); ok {
			s, err := strconv.Unquote(strings.TrimSuffix(strings.TrimSpace(quoted), ")"))
			if err != nil {
				return err
			}
			out[path] = []byte(s)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
