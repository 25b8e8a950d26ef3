package policystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/causeway-mesh/causeway/federation"
)

// schemaVersion stands in every value. A reader takes its own and lower ones; a
// higher one may mean something else, so it is skipped.
const schemaVersion = 1

// header is what every value has.
type header struct {
	SchemaVersion int `json:"schemaVersion"`
}

// keys builds and takes apart the store's keys: /causeway/v1/<federation>/…
type keys struct{ prefix string }

func newKeys(federationName string) keys { return keys{"/causeway/v1/" + federationName + "/"} }

func (k keys) member(c federation.ClusterName) string { return k.prefix + "members/" + string(c) }
func (k keys) exports(c federation.ClusterName) string {
	return k.prefix + "exports/" + string(c) + "/"
}
func (k keys) export(c federation.ClusterName, s federation.ServiceName) string {
	return k.exports(c) + s.String()
}
func (k keys) policies(c federation.ClusterName) string {
	return k.prefix + "policies/" + string(c) + "/"
}
func (k keys) policy(id federation.PolicyID) string {
	return k.policies(id.Origin) + id.Namespace + "/" + id.Name
}
func (k keys) order() string { return k.prefix + "order" }

// maxKeyPart is the most bytes between two slashes of a key.
const maxKeyPart = 253

// keyPart says whether a name can stand between two slashes of a key: letters, digits,
// dots and dashes, a letter or digit at both ends. Each event asks it, so it is written out.
func keyPart(s string) bool {
	if s == "" || len(s) > maxKeyPart || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// errForeignKey: the key is none that this version knows; not a fault.
var errForeignKey = errors.New("unknown kind of key")

// ref is a key taken apart.
type ref struct {
	kind            string // members, exports, policies, rollouts, presence
	cluster         federation.ClusterName
	namespace, name string
}

func (k keys) parse(key string) (ref, error) {
	rest, ok := strings.CutPrefix(key, k.prefix)
	if !ok {
		return ref{}, errForeignKey
	}
	p := strings.Split(rest, "/")
	for _, s := range p {
		if !keyPart(s) {
			return ref{}, fmt.Errorf("key %q: part %q is not a name", key, s)
		}
	}
	switch {
	case (p[0] == "members" || p[0] == "presence") && len(p) == 2:
		return ref{kind: p[0], cluster: federation.ClusterName(p[1])}, nil
	case (p[0] == "exports" || p[0] == "policies" || p[0] == "rollouts") && len(p) == 4:
		return ref{kind: p[0], cluster: federation.ClusterName(p[1]), namespace: p[2], name: p[3]}, nil
	}
	return ref{}, errForeignKey
}

// encodeValue writes v, whose fields are ours, over what the key held before: fields of
// old that v's type does not know are kept, but for the seal, which covers old alone. The
// result is canonical (sorted keys).
func encodeValue(v any, old []byte) ([]byte, error) {
	known, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	if len(old) > 0 {
		// An unreadable old value is replaced as a whole.
		_ = json.Unmarshal(old, &fields)
	}
	if fields == nil {
		fields = map[string]json.RawMessage{}
	}
	delete(fields, sealField)
	if err := json.Unmarshal(known, &fields); err != nil {
		return nil, err
	}
	out, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	if len(out) > MaxValueBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTooLarge, len(out), MaxValueBytes)
	}
	return out, nil
}

func sameValue(a, b []byte) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

func (h header) schema() int { return h.SchemaVersion }

// decodeValue reads one value, whose type embeds header, and checks that: of a version that
// we can't read, this is said, whatever else of it does not fit.
func decodeValue(data []byte, into interface{ schema() int }) error {
	if len(data) > MaxValueBytes {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(data))
	}
	failed := json.Unmarshal(data, into) // a field that does not fit keeps it from none of the others
	version := into.schema()
	if version > schemaVersion || version < 1 && failed == nil {
		return fmt.Errorf("schemaVersion %d, this program reads up to %d", version, schemaVersion)
	}
	return failed
}

type memberValue struct {
	header
	Region       federation.Region       `json:"region"`
	Zone         federation.Zone         `json:"zone"`
	Jurisdiction federation.Jurisdiction `json:"jurisdiction"`
	TrustDomain  federation.TrustDomain  `json:"trustDomain"`
	InstanceID   string                  `json:"instanceID"`
	Gateways     []gatewayValue          `json:"gateways"`
	// APIServerLost is written even when false: encodeValue keeps fields that are left out.
	APIServerLost bool `json:"apiServerLost"`
}

type gatewayValue struct {
	Instance string `json:"instance"`
	Address  string `json:"address"`
}

func memberToValue(m federation.Member) memberValue {
	v := memberValue{header{schemaVersion}, m.Region, m.Zone, m.Jurisdiction, m.TrustDomain, m.InstanceID, []gatewayValue{}, m.APIServerLost}
	for _, g := range m.Gateways {
		v.Gateways = append(v.Gateways, gatewayValue(g))
	}
	return v
}

func decodeMember(r ref, data []byte) (federation.Member, error) {
	var v memberValue
	if err := decodeValue(data, &v); err != nil {
		return federation.Member{}, err
	}
	if v.InstanceID == "" {
		return federation.Member{}, errors.New("member without instanceID")
	}
	if len(v.Gateways) > federation.MaxGatewaysPerCluster {
		v.Gateways = v.Gateways[:federation.MaxGatewaysPerCluster]
	}
	m := federation.Member{
		Name: r.cluster, Region: v.Region, Zone: v.Zone, Jurisdiction: v.Jurisdiction,
		TrustDomain: v.TrustDomain, InstanceID: v.InstanceID, APIServerLost: v.APIServerLost,
	}
	for _, g := range v.Gateways {
		m.Gateways = append(m.Gateways, federation.GatewayAddress(g))
	}
	return m, nil
}

type exportValue struct {
	header
	Order     uint64      `json:"order"`
	Ports     []portValue `json:"ports"`
	EarlyData bool        `json:"earlyData"`
	Headless  bool        `json:"headless"`
}

type portValue struct {
	Name        string              `json:"name"`
	Port        uint16              `json:"port"`
	Protocol    federation.Protocol `json:"protocol"`
	AppProtocol string              `json:"appProtocol"`
}

func exportToValue(e federation.Export) exportValue {
	v := exportValue{header{schemaVersion}, e.Order, []portValue{}, e.EarlyData, e.Headless}
	for _, p := range e.Ports {
		v.Ports = append(v.Ports, portValue(p))
	}
	return v
}

func decodeExport(r ref, data []byte) (federation.Export, error) {
	var v exportValue
	if err := decodeValue(data, &v); err != nil {
		return federation.Export{}, err
	}
	if v.Order == 0 {
		return federation.Export{}, errors.New("export without order")
	}
	e := federation.Export{
		Cluster: r.cluster, Service: federation.ServiceName{Namespace: r.namespace, Name: r.name},
		Order: v.Order, EarlyData: v.EarlyData, Headless: v.Headless,
	}
	for _, p := range v.Ports {
		e.Ports = append(e.Ports, federation.ExportedPort(p))
	}
	return e, nil
}
