package policybench

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var allMutants = flag.Bool("mutants", false, "try every mutant, not only those of the watch")

// mutant is production code with one thing broken in it, and the guarantee that must
// be seen not to hold.
type mutant struct {
	name      string
	guarantee string
	always    bool   // tried in every run
	file      string // under federation/policystore
	old, new  string
}

var mutants = []mutant{
	{"a delete is missed after a compaction", "Atomic", true, "intake.go", "s.replica.retain(listed)", ""},
	{"an event is applied twice, out of order", "Atomic", false, "watch.go", "range resp.Events {", "range append(resp.Events[:len(resp.Events):len(resp.Events)], resp.Events[0]) {"},
	{"a place is taken anew with each write", "Ordered", false, "write.go", "if old > 0 {", "if false {"},
	{"nobody minds the order's counter", "Unique", false, "write.go", `		conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(s.keys.order()), "=", b.orderModified))` + "\n", ""},
	{"a write is acknowledged and not made", "Reliable", false, "write.go", "revision, err := s.write(ctx, c, key, b, value, fresh)", "revision, err := uint64(b.modified), error(nil)\n\t\t_ = fresh"},
	{"a delete is acknowledged and not made", "Linearizable", false, "write.go", ").Then(clientv3.OpDelete(key)).Commit()", ").Then(clientv3.OpGet(key)).Commit()"},
}

// The test of the test. A mutant is built with `go test -overlay`: nothing in production
// code knows of it.
func TestBrokenStoresAreCaught(t *testing.T) {
	for _, m := range mutants {
		if !m.always && !*allMutants {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			output := m.live(t)
			if !strings.Contains(output, ": "+m.guarantee+": ") {
				t.Errorf("no history has shown that %q does not hold:\n%s", m.guarantee, output)
			}
			t.Logf("%.500s", output)
		})
	}
}

// live builds the mutant and records a history of it.
func (m mutant) live(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "mutant.test")
	build := exec.Command("go", "test", "-c", "-overlay", m.overlay(t, dir), "-o", binary, ".")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the mutant: %v\n%s", err, text)
	}
	text, err := exec.Command(binary, "-test.run", "^TestHistoriesKeepTheGuarantees$", "-rounds", "4").CombinedOutput()
	if err == nil {
		t.Error("the mutant's histories have shown nothing")
	}
	return string(text)
}

// overlay writes the mutant's source, and the file that tells the compiler of it.
func (m mutant) overlay(t *testing.T, dir string) string {
	t.Helper()
	original, err := filepath.Abs(filepath.Join("../../federation/policystore", m.file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(original)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		t.Fatalf("%s has %d times, not once:\n%s", m.file, n, m.old)
	}
	edited, name := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
	write(t, edited, []byte(strings.Replace(string(text), m.old, m.new, 1)))
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: edited}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, replace)
	return name
}

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
