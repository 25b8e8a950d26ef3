package testbed

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestAWaitEndsWithAProcessThatItNeeds(t *testing.T) {
	w := newWorld(t, 1, nil)
	script := func(name, text string) *Process {
		t.Helper()
		p, err := w.StartProcess(w.Store, Command{Name: name, Path: "/bin/sh", Args: []string{"-c", text}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ctx, cancel := WhileRunning(timeout(t, 10*time.Second), []*Process{script("stays", "exec sleep 60"), script("ends", "echo no more files; exit 3")})
	defer cancel()
	<-ctx.Done()
	if cause := context.Cause(ctx); !strings.Contains(cause.Error(), "ends ended: exit status 3") || !strings.Contains(cause.Error(), "no more files") {
		t.Errorf("the wait ended with %v", cause)
	}
}
