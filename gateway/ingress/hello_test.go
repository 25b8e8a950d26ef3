package ingress

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
)

// clientHello is what crypto/tls sends.
func clientHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		_ = tls.Client(client, config).Handshake()
		_ = client.Close()
	}()
	buf := make([]byte, 1<<14)
	n, err := server.Read(buf)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	_ = server.Close()
	return buf[:n]
}

func TestHelloOfTheStandardLibrary(t *testing.T) {
	b := clientHello(t, &tls.Config{ServerName: "us-east.seat.prod.causeway.internal", NextProtos: []string{"causeway-gossip/1"}}) //nolint:gosec // only its hello is used
	h, err := parseHello(b)
	if err != nil || h.serverName != "us-east.seat.prod.causeway.internal" || len(h.protocols) != 1 || h.protocols[0] != "causeway-gossip/1" {
		t.Fatalf("%+v, %v", h, err)
	}
	for i := range b {
		if _, err := parseHello(b[:i]); !errors.Is(err, errNeedMore) {
			t.Fatalf("cut at %d: %v, want to be asked for more", i, err)
		}
	}
	if _, err := parseHello([]byte("GET / HTTP/1.1\r\n")); err == nil || errors.Is(err, errNeedMore) {
		t.Errorf("HTTP: %v", err)
	}
}

// FAULTS row 18: names that two readers could understand differently.
func TestOnlyCanonicalNames(t *testing.T) {
	for name, want := range map[string]bool{
		"us-east.seat.prod.causeway.internal": true, "a": true,
		"": false, "a.": false, ".a": false, "a..b": false, "A.b": false, "a\x00b": false, "10.0.0.1": false, "a b": false, "[::1]": false,
		string(make([]byte, 300)): false,
	} {
		if canonical(name) != want {
			t.Errorf("canonical(%q) is %t", name, !want)
		}
	}
}

func FuzzParseHello(f *testing.F) {
	f.Add(clientHello(f, &tls.Config{ServerName: "us-east.gateway.prod.causeway.internal", NextProtos: []string{"causeway-tunnel/1"}})) //nolint:gosec // only its hello is used
	f.Add(clientHello(f, &tls.Config{InsecureSkipVerify: true}))                                                                        //nolint:gosec // only its hello is used
	f.Add([]byte{22, 3, 1, 0, 0})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := parseHello(data)
		if err == nil && h.serverName != "" && !canonical(h.serverName) {
			t.Fatalf("the name %q was let through", h.serverName)
		}
	})
}
