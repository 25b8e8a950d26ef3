package policybench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Etcd is a store of one or more members, each a process.
type Etcd struct {
	// Members are in a fixed order, whoever leads.
	Members []*Member
}

// Member is one etcd process, which can be killed and started again with its data.
type Member struct {
	// Address takes clients, "127.0.0.1:port".
	Address string
	path    string
	args    []string
	log     string

	mu  sync.Mutex // guards cmd
	cmd *exec.Cmd  // nil while it does not run
}

// Start starts n members with their data under dir, and returns once all serve or ctx
// ends. Nothing is synced to the disk: a killed process loses nothing by that, and a
// put is as fast as it can be.
func Start(ctx context.Context, path, dir string, n int) (*Etcd, error) {
	ports, err := freePorts(2 * n)
	if err != nil {
		return nil, err
	}
	var peers []string
	for i := range n {
		peers = append(peers, fmt.Sprintf("m%d=http://%s", i, ports[n+i]))
	}
	e := &Etcd{}
	for i := range n {
		name := fmt.Sprintf("m%d", i)
		client, peer := "http://"+ports[i], "http://"+ports[n+i]
		e.Members = append(e.Members, &Member{
			Address: ports[i], path: path, log: filepath.Join(dir, name+".log"),
			args: []string{
				"--name=" + name, "--data-dir=" + filepath.Join(dir, name), "--log-level=error", "--unsafe-no-fsync",
				"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
				"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=" + strings.Join(peers, ","),
			},
		})
	}
	for _, m := range e.Members {
		if err := m.Start(); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	for _, m := range e.Members {
		if err := m.Serving(ctx); err != nil {
			return nil, errors.Join(err, e.Close())
		}
	}
	return e, nil
}

// freePorts finds addresses on loopback that nobody listens on.
func freePorts(n int) (addresses []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // all at once: no port twice
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// Addresses are those of all members.
func (e *Etcd) Addresses() (out []string) {
	for _, m := range e.Members {
		out = append(out, m.Address)
	}
	return out
}

// Close kills all members.
func (e *Etcd) Close() (err error) {
	for _, m := range e.Members {
		err = errors.Join(err, m.Kill())
	}
	return err
}

// Start starts the process; it does not wait until it serves.
func (m *Member) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(m.path, m.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", m.path, err)
	}
	m.cmd = cmd
	return nil
}

// Kill is SIGKILL; it returns once the process has gone. A member that does not run is
// no error.
func (m *Member) Kill() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return nil
	}
	if err := m.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = m.cmd.Wait() // says that it was killed
	m.cmd = nil
	return nil
}

// Serving waits until the member answers through a quorum, or ctx ends; the error then
// quotes the end of its log.
func (m *Member) Serving(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := m.get(ctx, "/health")
		if err == nil && strings.Contains(text, `"true"`) {
			return nil
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(m.log)
			return fmt.Errorf("etcd at %s does not serve: %w; the end of its log:\n%s", m.Address, errors.Join(err, ctx.Err()), log[max(0, len(log)-2048):])
		case <-tick.C:
		}
	}
}

func (m *Member) get(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.Address+path, nil)
	if err != nil {
		return "", err
	}
	req.Close = true // no idle connection is left
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	return string(text), err
}

// SentBytes is how much the process has sent to clients since it began.
func (m *Member) SentBytes(ctx context.Context) (float64, error) {
	text, err := m.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	return number(text, "etcd_network_client_grpc_sent_bytes_total ")
}

// PeakBytes is the most memory that the process has held since it began.
func (m *Member) PeakBytes() (float64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cmd == nil {
		return 0, os.ErrProcessDone
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	kib, err := number(string(text), "VmHWM:")
	return kib * 1024, err
}

// number is the first one on the line that begins with prefix.
func number(text, prefix string) (float64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, prefix); ok && len(strings.Fields(rest)) > 0 {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, fmt.Errorf("no line begins with %q", prefix)
}
