package policystore

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
)

// What was once said and is taken back must not live on in the field that is kept.
func TestOptionalFieldsAreTakenBack(t *testing.T) {
	policy := federation.Policy{
		ID: federation.PolicyID{Origin: "a", Namespace: "n", Name: "p"}, Order: 1, Revision: 7, Observed: 3, Undo: 1, Hold: true,
		PolicyVersion: federation.PolicyVersion{
			Generation: 2, Rules: federation.Rules{Regions: []federation.Region{"r"}, OnPartition: federation.PartitionWithdraw, MaxRecordAge: 90 * time.Second},
		},
		History: []federation.PolicyVersion{{Generation: 1, Targets: []federation.ServiceName{{Namespace: "n", Name: "s"}}, Rules: federation.Rules{Regions: []federation.Region{"r", "q"}}}},
		Rollout: &federation.RolloutPlan{
			Waves: []federation.Wave{{Regions: []federation.Region{"r"}}, {Clusters: []federation.ClusterName{"a"}}},
			Bake:  time.Minute, MaxErrors: federation.Measure{Known: true, PerMille: 10}, MaxLatency: time.Second,
		},
	}
	member := federation.Member{Name: "a", Region: "r", InstanceID: "uid", APIServerLost: true}
	var heldPolicy, heldMember []byte
	for range 2 {
		var err error
		if heldPolicy, err = encodeValue(policyToValue(policy), heldPolicy); err != nil {
			t.Fatal(err)
		}
		if heldMember, err = encodeValue(memberToValue(member), heldMember); err != nil {
			t.Fatal(err)
		}
		gotPolicy, err := decodePolicy(ref{cluster: "a", namespace: "n", name: "p"}, heldPolicy, 7)
		if d := cmp.Diff(policy, gotPolicy); err != nil || d != "" {
			t.Errorf("%v\n%s", err, d)
		}
		gotMember, err := decodeMember(ref{cluster: "a"}, heldMember)
		if d := cmp.Diff(member, gotMember); err != nil || d != "" {
			t.Errorf("%v\n%s", err, d)
		}
		policy.OnPartition, policy.MaxRecordAge, member.APIServerLost = "", 0, false
		policy.History, policy.Rollout, policy.Undo, policy.Hold = nil, nil, 0, false
	}
}

func TestPolicyWithAnAgeThatIsNoneIsRefused(t *testing.T) {
	for _, age := range []string{"soon", "-1s", "0s"} {
		value := `{"schemaVersion":1,"order":1,"targets":[],"regions":[],"generation":1,"maxRecordAge":"` + age + `"}`
		if p, err := decodePolicy(ref{}, []byte(value), 1); err == nil {
			t.Errorf("%s: %+v", age, p)
		}
	}
}

// keyNamed is the rule that keyPart spells out.
var keyNamed = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$`)

func TestPartsOfKeysAreWhatTheirPatternSays(t *testing.T) {
	for _, s := range []string{"", "a", "-", "a-", "-a", "a.b-C9", "a b", "a/b", "ä", "a\n", "a\x00b", strings.Repeat("a", 253), strings.Repeat("a", 254)} {
		if keyPart(s) != keyNamed.MatchString(s) {
			t.Errorf("%q: %t", s, keyPart(s))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-cX-Z.-]{0,4}`), rapid.StringMatching(`[!-~]{0,3}`), rapid.StringMatching(`[a-]{250,256}`)).Draw(t, "name")
		if keyPart(s) != keyNamed.MatchString(s) {
			t.Fatalf("%q: %t", s, keyPart(s))
		}
	})
}

// A newer version may mean something else by a field that we know: it is said that it is
// newer, not that the field is wrong.
func TestAValueOfANewerVersionIsRefusedAsThat(t *testing.T) {
	for value, want := range map[string]string{
		`{"schemaVersion":2,"order":1}`:            "schemaVersion 2",
		`{"schemaVersion":2,"order":"first"}`:      "schemaVersion 2",
		`{"order":"first","schemaVersion":2}`:      "schemaVersion 2",
		`{"order":1}`:                              "schemaVersion 0",
		`{"schemaVersion":1,"order":"first"}`:      "order",
		`{"schemaVersion":"1","order":1}`:          "schemaVersion",
		`{"schemaVersion":1,"order":1`:             "unexpected end",
		`[]`:                                       "array",
		`{"schemaVersion":1,"schemaVersion":2}`:    "schemaVersion 2",
		`{"schemaVersion":1,"order":1,"ports":{}}`: "ports",
		`{"schemaVersion":-1,"order":1}`:           "schemaVersion -1",
	} {
		if _, err := decodeExport(ref{}, []byte(value)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", value, err, want)
		}
	}
}
