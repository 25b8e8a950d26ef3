package testbed

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// The environment variable that tells a re-executed process what it is.
const (
	roleVariable   = "CAUSEWAY_TESTBED_ROLE"
	socketVariable = "CAUSEWAY_TESTBED_SOCKETS"
	outerVariable  = "CAUSEWAY_TESTBED_OUTER_UID"
	dialVariable   = "CAUSEWAY_TESTBED_DIAL"
	roleInner      = "inner"
	rolePod        = "pod"
)

// Outside is what a program needs of the machine outside its namespaces.
type Outside struct {
	// Listen maps names to addresses on the host to listen on, such as "127.0.0.1:0";
	// an address that is taken is an error that names it.
	Listen map[string]string
	// Dial are the addresses, "host:port", that the program may dial on the host's own
	// network with Host.Dial; nothing else out there is within its reach.
	Dial []string
	// Before runs in the outer process, on the host's own network, before anything is
	// started; its error ends the program. What it returns runs there too, once the
	// inner process has ended, however it ended. Optional.
	Before func() (after func() error, err error)
}

// Host is what the inner process has of the machine outside its namespaces.
type Host struct {
	// Listeners are sockets on the host's own 127.0.0.1, by the names given to Enter:
	// a socket belongs to the namespace in which it was opened.
	Listeners map[string]net.Listener
	// Root tells whether the outer process was root. Inside, everyone is.
	Root bool

	dialable []string // Outside.Dial
	dialer   *net.UnixConn
	// ownMounts: what is mounted here is not mounted on the host.
	ownMounts bool
}

// Enter must be called first in main, or in TestMain, of every program that makes
// process clusters. It re-executes the program in a network namespace of its own (and,
// for an ordinary user, in a user namespace that maps the user to root) and returns in
// that inner process only; the outer one waits, passes signals on, dials what the inner
// one asks for, and exits with the inner one's code.
func Enter(o Outside) (*Host, error) {
	role := os.Getenv(roleVariable)
	os.Unsetenv(roleVariable) // children of ours are not what we are
	switch role {
	case rolePod:
		os.Exit(podMain())
	case roleInner:
		return inner()
	}
	code, err := outer(o)
	if err != nil {
		return nil, err
	}
	os.Exit(code)
	return nil, nil // not reached
}

func outer(o Outside) (code int, err error) {
	names, files, err := listeners(o.Listen)
	if err != nil {
		return 0, err
	}
	asks, theirs, err := dialSocket()
	if err != nil {
		return 0, err
	}
	go serveDials(asks, o.Dial)
	after := func() error { return nil }
	if o.Before != nil {
		if after, err = o.Before(); err != nil {
			return 0, err
		}
	}
	code, err = execute(o, names, append(files, theirs))
	return code, errors.Join(err, after())
}

// listeners opens the listeners, for the inner process to inherit.
func listeners(listen map[string]string) (names []string, files []*os.File, err error) {
	for name, addr := range listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, fmt.Errorf("listening for %s on the host: %w", name, err)
		}
		f, err := l.(*net.TCPListener).File()
		l.Close()
		if err != nil {
			return nil, nil, fmt.Errorf("handing over the listener for %s: %w", name, err)
		}
		names, files = append(names, name), append(files, f)
	}
	return names, files, nil
}

// execute runs the inner process with the files and returns its exit code.
func execute(o Outside, names []string, files []*os.File) (int, error) {
	env, err := innerEnv(o, names)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdin, os.Stdout, os.Stderr, files
	cmd.Env, cmd.SysProcAttr = env, namespaces(o)

	// Pdeathsig fires when the thread that forked ends, so this one has to stay.
	runtime.LockOSThread()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting in a network namespace (an ordinary user needs user namespaces, see user.max_user_namespaces): %w", err)
	}
	for _, f := range files {
		f.Close()
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode(), nil
	case errors.As(err, &exit):
		return 128 + int(exit.Sys().(syscall.WaitStatus).Signal()), nil
	}
	return 0, fmt.Errorf("waiting for the inner process: %w", err)
}

// innerEnv tells the inner process what it is and what its files are.
func innerEnv(o Outside, names []string) ([]string, error) {
	sockets, err := json.Marshal(names)
	if err != nil {
		return nil, err
	}
	dial, err := json.Marshal(o.Dial)
	if err != nil {
		return nil, err
	}
	return append(os.Environ(), roleVariable+"="+roleInner, socketVariable+"="+string(sockets),
		dialVariable+"="+string(dial), outerVariable+"="+strconv.Itoa(os.Getuid())), nil
}

func namespaces(o Outside) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
		// A group of its own: Ctrl-C reaches the inner process once, through us.
		Setpgid: true,
	}
	if hasNames(o.Dial) {
		attr.Unshareflags = unix.CLONE_NEWNS // for a hosts file of its own, see Reach
	}
	if os.Getuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return attr
}

func inner() (*Host, error) {
	var names []string
	if err := json.Unmarshal([]byte(os.Getenv(socketVariable)), &names); err != nil {
		return nil, fmt.Errorf("reading the names of the listeners: %w", err)
	}
	h := &Host{Listeners: map[string]net.Listener{}, Root: os.Getenv(outerVariable) == "0"}
	if err := json.Unmarshal([]byte(os.Getenv(dialVariable)), &h.dialable); err != nil {
		return nil, fmt.Errorf("reading what may be dialled on the host: %w", err)
	}
	h.ownMounts = hasNames(h.dialable)
	for i, name := range names {
		f := os.NewFile(uintptr(3+i), name)
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("taking over the listener for %s: %w", name, err)
		}
		h.Listeners[name] = l
	}
	var err error
	h.dialer, err = unixConn(3+len(names), "dialer")
	return h, err
}
