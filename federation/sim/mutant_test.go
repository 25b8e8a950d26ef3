//go:build !race

package sim

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var allMutants = flag.Bool("mutants", false, "try every mutant, not only the broken merges")

// mutant is production code with one thing broken in it, and the invariant that must
// see it.
type mutant struct {
	name      string
	invariant string
	merge     bool // of health records: tried in every run
	edits     []edit
}

// edit replaces a text that must stand in a file exactly once.
type edit struct{ file, old, new string }

var mutants = []mutant{
	{"merge ignores the sequence", "order", true, []edit{
		{"../gossip/volume.go", "if held && old.version.Sequence > f.batch.Version.Sequence {", "if false {"},
	}},
	{"merge ignores the epoch", "order", true, []edit{
		{"../gossip/archive.go", "	case b.Version.Epoch < v.epoch:\n		return filing{stale: true}\n	case b.Version.Epoch > v.epoch:", "	case b.Version.Epoch != v.epoch:"},
		{"../gossip/sync.go", "stale := v != nil && b.Version.Epoch < v.epoch", "stale := false"},
		{"../gossip/volume.go", "		return b.Version.Epoch < v.epoch\n", "		return false\n"},
	}},
	{"merge raises what was withdrawn", "order", true, []edit{
		{"../gossip/volume.go", "if held && old.version.Sequence > f.batch.Version.Sequence {", "if held && !old.withdrawn && old.version.Sequence > f.batch.Version.Sequence {"},
	}},
	{"merge stamps a record with the newest version", "stated", false, []edit{
		{"../gossip/volume.go", "withdrawn: i.Withdrawn, version: f.batch.Version, made: f.made}", "withdrawn: i.Withdrawn, version: federation.Version{Epoch: v.epoch, Sequence: max(v.newest, f.batch.Version.Sequence)}, made: f.made}"},
	}},
	{"what is relayed is as young as its reader", "age", false, []edit{
		{"../gossip/volume.go", "covered: math.MinInt64,", "covered: 0 * math.MinInt64,"},
	}},
	{"a record expires", "kept", false, []edit{
		{"../gossip/volume.go", "		if l.withdrawn && now-l.made > ttl {", "		if now-made > 3*time.Second {"},
	}},
	{"nothing repairs what was lost", "convergence", false, []edit{
		{"../gossip/sync.go", "	left := maxAnswer\n", "	left := maxAnswer\n	theirs = nil\n"},
		{"../gossip/link.go", "	missing, _ := g.archive.lacking(h, g.now())\n", "	missing := []*filed(nil)\n"},
	}},
	{"changes wait for the next beat", "told in time", false, []edit{
		{"../gossip/sync.go", "	g.passOn(g.cfg.Cluster, f.batch, len(f.sealed))\n	for _, l := range g.links {", "	for _, l := range map[int]*link{} {"},
	}},
	{"nobody dies", "death known", false, []edit{
		{"../gossip/members.go", "		case n.joined && g.gone(c, now):\n			status = Dead\n", ""},
		{"../gossip/members.go", "		case n.joined && g.list != nil:\n			status = Dead\n", "		case n.joined && g.list != nil:\n			status = Suspect\n"},
	}},
	{"one silence is a death", "no false death", false, []edit{
		{"../gossip/silence.go", "	return votes > 0 && 2*votes >= voters\n", "	return true\n"},
		{"../gossip/config.go", "SilenceAfter:      450 * time.Millisecond", "SilenceAfter:      100 * time.Millisecond"},
	}},
	{"an owner is given half a second to speak", "no false verdict", false, []edit{
		{"../liveness/evidence.go", "StatementMaxAge = 5 * time.Second", "StatementMaxAge = 500 * time.Millisecond"},
	}},
	{"a silent path counts as up", "no verdict without proof", false, []edit{
		{"../liveness/paths.go", "		s.state = routing.PathDown\n", "		s.state, s.up = routing.PathUp, 1\n"},
	}},
	{"a withdrawing policy keeps", "forbidden", false, []edit{
		{"../routing/compute.go", "withdraw := d.OnPartition == federation.PartitionWithdraw ||\n		", "withdraw := "},
	}},
	{"the last resort is no target", "never all off", false, []edit{
		{"../routing/decision.go", "		if !c.In {\n			break", "		if !c.In || c.LastResort {\n			break"},
	}},
	{"home is as good as any", "home first", false, []edit{
		{"../routing/compute.go", "		p.self = 0\n", ""},
		{"../routing/compute.go", "		p.home = 0\n", "		p.home = 2\n"},
	}},
	{"round trips waver", "quiet", false, []edit{
		{"../liveness/judge.go", "		RTT: h.RTT, Jitter: h.Jitter,", "		RTT: h.RTT * time.Duration(1+int64(now/time.Second+h.RTT/time.Millisecond)%3), Jitter: h.Jitter,"},
	}},
	{"a dead control plane counts as a dead path", "fail static", false, []edit{
		{"../health.go", "return k == LinkDown || k == GatewayDown", "return k == ControlPlaneDown || k == LinkDown || k == GatewayDown"},
	}},
}

// The test of the test: the worlds see what is broken in production code. A mutant is
// built with `go test -overlay`, so nothing in the production code knows of it.
func TestBrokenMergesAreCaught(t *testing.T) {
	for _, m := range mutants {
		if !m.merge && !*allMutants {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			output := m.live(t)
			if !strings.Contains(output, ": "+m.invariant+": ") {
				t.Errorf("no world has seen that %q does not hold:\n%s", m.invariant, output)
			}
			t.Logf("%.500s", output)
		})
	}
}

// live builds the mutant's worlds and runs them until the first one fails.
func (m mutant) live(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "mutant.test")
	build := exec.Command("go", "test", "-c", "-overlay", m.overlay(t, dir), "-o", binary, ".")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the mutant: %v\n%s", err, text)
	}
	args := []string{"-test.run", "^TestWorlds$", "-test.failfast", "-test.parallel", "1", "-seeds", "20", "-out", dir}
	if m.merge {
		args = append(args, "-faults", "30") // the worse the network, the more there is to merge
	}
	text, err := exec.Command(binary, args...).CombinedOutput()
	if err == nil {
		t.Error("the mutant's worlds have seen nothing")
	}
	return string(text)
}

// overlay writes the mutant's sources, and the file that tells the compiler of them.
func (m mutant) overlay(t *testing.T, dir string) string {
	t.Helper()
	edited := map[string]string{}
	for _, e := range m.edits {
		if _, ok := edited[e.file]; !ok {
			text, err := os.ReadFile(e.file)
			if err != nil {
				t.Fatal(err)
			}
			edited[e.file] = string(text)
		}
		if n := strings.Count(edited[e.file], e.old); n != 1 {
			t.Fatalf("%s has %d times, not once:\n%s", e.file, n, e.old)
		}
		edited[e.file] = strings.Replace(edited[e.file], e.old, e.new, 1)
	}
	replace := map[string]string{}
	for file, text := range edited {
		original, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		replace[original] = filepath.Join(dir, filepath.Base(filepath.Dir(original))+"_"+filepath.Base(file))
		write(t, replace[original], []byte(text))
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "overlay.json")
	write(t, name, text)
	return name
}

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
