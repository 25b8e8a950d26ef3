package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// stopGrace is how long a process may take to end after SIGTERM before it is killed.
const stopGrace = 10 * time.Second

// logTail bounds what an error quotes of a process's log, in bytes.
const logTail = 2048

// Command says what to run.
type Command struct {
	// Name is the process's name in logs and errors, and of its log file. Must be
	// unique in the world.
	Name string
	Path string
	Args []string
	// Env is added to a minimal environment (PATH, HOME, TMPDIR): nothing of the
	// user's own leaks into a test.
	Env []string
}

// Process is one started process.
type Process struct {
	Name string
	Site *Site
	Log  string // path of its log file
	cmd  *exec.Cmd
	// done is closed once the process has ended and err is set. Only the goroutine
	// that waits for it closes it.
	done    chan struct{}
	err     error
	stopped atomic.Bool // we asked it to end
	// controlPlane has nothing to say when it ends, and its data is thrown away: an API
	// server without its etcd would hold up the end for as long as it may.
	controlPlane bool
}

// StartProcess starts a process inside a site and watches it.
func (w *World) StartProcess(s *Site, c Command) (*Process, error) {
	return w.startProcess(s, c, false)
}

func (w *World) startProcess(s *Site, c Command, controlPlane bool) (*Process, error) {
	logPath := filepath.Join(w.Dir, "logs", c.Name+".log")
	if err := os.MkdirAll(filepath.Dir(logPath), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.Dir, log, log
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.Dir, "TMPDIR=" + os.TempDir()}, c.Env...)
	if err := s.Start(cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	p := &Process{Name: c.Name, Site: s, Log: logPath, cmd: cmd, done: make(chan struct{}), controlPlane: controlPlane}
	w.procs.add(p)
	go p.wait(w)
	return p, nil
}

func (p *Process) wait(w *World) {
	err := p.cmd.Wait()
	if err == nil && !p.stopped.Load() {
		err = errors.New("exit status 0")
	}
	p.err = err
	close(p.done)
	if !p.stopped.Load() && w.OnExit != nil {
		w.OnExit(p)
	}
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running tells whether the process still is.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Err is nil while the process runs; afterwards it says how it ended, with the end of
// its log.
func (p *Process) Err() error {
	if p.Running() {
		return nil
	}
	return fmt.Errorf("%s ended: %w; the end of %s:\n%s", p.Name, p.err, p.Log, p.Tail())
}

// WhileRunning is a context that ends, with the process's error as its cause, when one
// of the processes does. Call the returned function when the wait is over.
func WhileRunning(ctx context.Context, needs []*Process) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	for _, p := range needs {
		go func() {
			select {
			case <-p.done:
				cancel(p.Err())
			case <-ctx.Done():
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}

// Tail is the end of the process's log.
func (p *Process) Tail() string {
	f, err := os.Open(p.Log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > logTail {
		_, _ = f.Seek(-logTail, io.SeekEnd)
	}
	b, _ := io.ReadAll(io.LimitReader(f, logTail))
	return strings.TrimSpace(string(b))
}

// Stop sends SIGTERM and waits; what has not ended within 10 s is killed.
func (p *Process) Stop() {
	p.stopped.Store(true)
	_ = p.signal(syscall.SIGCONT) // a paused process cannot end
	_ = p.signal(syscall.SIGTERM)
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// Kill is kill -9, and waits until the kernel has done it.
func (p *Process) Kill() {
	p.stopped.Store(true)
	_ = p.signal(syscall.SIGKILL)
	<-p.done
}

// Pause is SIGSTOP: the process hangs, its connections stay open and say nothing.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Continue ends a Pause.
func (p *Process) Continue() error { return p.signal(syscall.SIGCONT) }

// signal goes to the whole group of the process.
func (p *Process) signal(s syscall.Signal) error {
	if !p.Running() {
		return os.ErrProcessDone // its id may be someone else's by now
	}
	return syscall.Kill(-p.PID(), s)
}

// processes is the list of all that was started, in order.
type processes struct {
	mu   sync.Mutex
	list []*Process
}

func (l *processes) add(p *Process) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, p)
}

func (l *processes) running() []*Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*Process
	for _, p := range l.list {
		if p.Running() {
			out = append(out, p)
		}
	}
	return out
}

// stopAll stops everything at the same time; control planes are killed afterwards, so
// that what ran in the clusters could end in order.
func (l *processes) stopAll() {
	var wg sync.WaitGroup
	for _, p := range l.running() {
		if !p.controlPlane {
			wg.Go(p.Stop)
		}
	}
	wg.Wait()
	for _, p := range l.running() {
		wg.Go(p.Kill)
	}
	wg.Wait()
}
