package ingress

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
)

// maxHello bounds a ClientHello with its record headers. Go's, with post-quantum
// key shares, takes about 1.6 KiB.
const maxHello = 16 << 10

// hello is what the ingress reads of a ClientHello.
type hello struct {
	serverName string
	protocols  []string
}

var (
	errNotTLS    = errors.New("not a TLS ClientHello")
	errMalformed = errors.New("malformed ClientHello")
	errAmbiguous = errors.New("ambiguous ClientHello")
	errNeedMore  = errors.New("ClientHello is not complete")
)

// parseHello reads a ClientHello from the start of a connection. errNeedMore asks
// for more bytes; any other error is final. It refuses what two readers could
// understand differently, rather than choose.
func parseHello(b []byte) (hello, error) {
	msg, err := handshake(b)
	if err != nil {
		return hello{}, err
	}
	c := cursor{rest: msg}
	c.take(2 + 32)   // legacy_version, random
	c.take(c.len8()) // legacy_session_id
	suites := c.take(c.len16())
	c.take(c.len8()) // legacy_compression_methods
	exts := cursor{rest: c.take(c.len16())}
	if c.bad || len(c.rest) > 0 || len(suites) == 0 {
		return hello{}, errMalformed
	}
	return extensions(exts)
}

// handshake joins the records that one ClientHello may be split into, and returns
// its body.
func handshake(b []byte) ([]byte, error) {
	var msg []byte
	for {
		if len(b) > 0 && b[0] != 22 || len(b) > 1 && b[1] != 3 {
			return nil, errNotTLS
		}
		if len(msg) > 0 && msg[0] != 1 {
			return nil, errNotTLS
		}
		if len(msg) >= 4 {
			n := int(msg[1])<<16 | int(msg[2])<<8 | int(msg[3])
			if n > maxHello {
				return nil, errMalformed
			}
			if len(msg) >= 4+n {
				if len(msg) > 4+n || len(b) > 0 {
					return nil, errMalformed // a client must wait for our answer
				}
				return msg[4:], nil
			}
		}
		if len(b) < 5 {
			return nil, errNeedMore
		}
		n := int(binary.BigEndian.Uint16(b[3:]))
		if n == 0 || n > maxHello {
			return nil, errMalformed
		}
		if len(b) < 5+n {
			return nil, errNeedMore
		}
		msg = append(msg, b[5:5+n]...)
		b = b[5+n:]
	}
}

const (
	extServerName = 0
	extALPN       = 16
	extECH        = 0xfe0d
)

func extensions(c cursor) (hello, error) {
	var h hello
	seen := map[int]bool{}
	for len(c.rest) > 0 {
		kind := c.len16()
		body := cursor{rest: c.take(c.len16())}
		if c.bad {
			return hello{}, errMalformed
		}
		if seen[kind] || kind == extECH {
			return hello{}, errAmbiguous
		}
		seen[kind] = true
		var err error
		switch kind {
		case extServerName:
			h.serverName, err = serverName(body)
		case extALPN:
			h.protocols, err = protocols(body)
		}
		if err != nil {
			return hello{}, err
		}
	}
	return h, nil
}

func serverName(c cursor) (string, error) {
	list := cursor{rest: c.take(c.len16())}
	kind := list.len8()
	name := string(list.take(list.len16()))
	if c.bad || list.bad || len(c.rest) > 0 {
		return "", errMalformed
	}
	if len(list.rest) > 0 || kind != 0 || !canonical(name) {
		return "", errAmbiguous
	}
	return name, nil
}

// canonical says whether a name has just one way to be read: lower case, no dot at
// the end, no address, nothing but letters, digits, hyphens and dots.
func canonical(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}

func protocols(c cursor) ([]string, error) {
	list := cursor{rest: c.take(c.len16())}
	if c.bad || len(c.rest) > 0 {
		return nil, errMalformed
	}
	var ps []string
	for len(list.rest) > 0 {
		p := list.take(list.len8())
		if len(p) == 0 {
			return nil, errMalformed
		}
		ps = append(ps, string(p))
	}
	return ps, nil
}

// cursor reads fields in order; after the first one that is not there it gives
// nothing and sets bad.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) take(n int) []byte {
	if c.bad || len(c.rest) < n {
		c.bad, c.rest = true, nil
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) len8() int {
	if b := c.take(1); b != nil {
		return int(b[0])
	}
	return 0
}

func (c *cursor) len16() int {
	if b := c.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}
