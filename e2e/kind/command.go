package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// tools that the suite runs, with what to do without one.
func tools() map[string]string {
	return map[string]string{
		"docker":  "install Docker and start its engine",
		"kind":    "go install sigs.k8s.io/kind@latest",
		"kubectl": "install kubectl, or run `make assets`",
		"helm":    "run `make packaging-tools`",
	}
}

// Prerequisites says in one line what is missing.
func Prerequisites(ctx context.Context) error {
	var missing []string
	for name, advice := range tools() {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name+" ("+advice+")")
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing on PATH: %s", strings.Join(missing, ", "))
	}
	if _, err := run(ctx, nil, "docker", "version", "--format", "{{.Server.Version}}"); err != nil {
		return fmt.Errorf("no Docker engine answers (DOCKER_HOST=%q): start one: %w", os.Getenv("DOCKER_HOST"), err)
	}
	return nil
}

// run runs a command and returns its standard output; the error has the other one.
func run(ctx context.Context, env []string, name string, args ...string) (string, error) {
	return pipe(ctx, env, "", name, args...)
}

func pipe(ctx context.Context, env []string, in, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	if in != "" {
		cmd.Stdin = strings.NewReader(in)
	}
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(err, ctx.Err())
		}
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, tail(out.String()), tail(problem.String()))
	}
	return out.String(), nil
}

// tailBound is how much of a command's output an error quotes, in bytes.
const tailBound = 4096

func tail(s string) string {
	if len(s) > tailBound {
		s = "…" + s[len(s)-tailBound:]
	}
	return s
}
