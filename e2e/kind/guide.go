package kind

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Guide is a page of docs/ whose shell blocks are run as they stand.
type Guide struct {
	// Root is the repository's: blocks run there.
	Root string
	// Env is what a reader sets: the blocks take it with ${NAME:-default}.
	Env []string
	// Log takes everything that the blocks print.
	Log string

	sections map[string][]string // shell blocks by heading
}

// OpenGuide reads a Markdown page: its ```sh blocks, by the second-level heading
// that they stand under.
func OpenGuide(root, page string) (*Guide, error) {
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		return nil, err
	}
	return &Guide{Root: root, sections: blocks(string(text))}, nil
}

func blocks(text string) map[string][]string {
	out := map[string][]string{}
	heading, inside := "", false
	var block strings.Builder
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case !inside && strings.HasPrefix(line, "## "):
			heading = strings.TrimSpace(strings.TrimPrefix(line, "## "))
		case !inside && trimmed == "```sh":
			inside = true
			block.Reset()
		case inside && trimmed == "```":
			inside = false
			out[heading] = append(out[heading], block.String())
		case inside:
			block.WriteString(line)
		}
	}
	return out
}

// names is the section whose variables all others use.
const names = "Names"

// Run runs all blocks of a section, after the variables of the section Names, in one
// shell that stops at the first command that fails.
func (g *Guide) Run(ctx context.Context, section string) error {
	steps := g.sections[section]
	if len(steps) == 0 {
		return fmt.Errorf("the guide has no shell block under %q", section)
	}
	script := "set -euo pipefail\n" + strings.Join(g.sections[names], "\n") + "\nset -x\n" + strings.Join(steps, "\n")
	log, err := os.OpenFile(g.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.Env = g.Root, append(os.Environ(), g.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(g.Log)
		return fmt.Errorf("docs/install.md, section %q: %w\n%s", section, err, tail(string(text)))
	}
	return nil
}
