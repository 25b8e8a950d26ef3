package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Report says what went wrong in a world, and how to see it again.
func Report(p Plan, found []Violation) string {
	var b strings.Builder
	for _, v := range found {
		fmt.Fprintf(&b, "%s\n", v)
	}
	fmt.Fprintf(&b, "\n%s\nagain: make sim SEED=%d\n", p.String(), p.Seed)
	return b.String()
}

// Keep writes the report of a failed seed into a folder, which it makes, and returns the
// file's name.
func Keep(dir string, p Plan, found []Violation) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // for people to read
		return "", fmt.Errorf("keeping seed %d: %w", p.Seed, err)
	}
	name := filepath.Join(dir, fmt.Sprintf("seed-%d.txt", p.Seed))
	if err := os.WriteFile(name, []byte(Report(p, found)), 0o644); err != nil { //nolint:gosec // the same
		return "", fmt.Errorf("keeping seed %d: %w", p.Seed, err)
	}
	return name, nil
}
