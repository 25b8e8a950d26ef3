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
	roleInner      = "inner"
	rolePod        = "pod"
)

// Host is what the inner process has of the machine outside its namespaces.
type Host struct {
	// Listeners are sockets on the host's own 127.0.0.1, by the names given to Enter:
	// a socket belongs to the namespace in which it was opened.
	Listeners map[string]net.Listener
	// Root tells whether the outer process was root. Inside, everyone is.
	Root bool
}

// Enter must be called first in main, or in TestMain, of every program that makes
// process clusters. It re-executes the program in a network namespace of its own (and,
// for an ordinary user, in a user namespace that maps the user to root) and returns in
// that inner process only; the outer one waits, passes signals on and exits with the
// inner one's code.
//
// listen maps names to addresses on the host to listen on, such as "127.0.0.1:0";
// an address that is taken is an error that names it.
func Enter(listen map[string]string) (*Host, error) {
	role := os.Getenv(roleVariable)
	os.Unsetenv(roleVariable) // children of ours are not what we are
	switch role {
	case rolePod:
		os.Exit(podMain())
	case roleInner:
		return inner()
	}
	code, err := outer(listen)
	if err != nil {
		return nil, err
	}
	os.Exit(code)
	return nil, nil // not reached
}

func outer(listen map[string]string) (int, error) {
	names := make([]string, 0, len(listen))
	var files []*os.File
	for name, addr := range listen {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return 0, fmt.Errorf("listening for %s on the host: %w", name, err)
		}
		f, err := l.(*net.TCPListener).File()
		l.Close()
		if err != nil {
			return 0, fmt.Errorf("handing over the listener for %s: %w", name, err)
		}
		names, files = append(names, name), append(files, f)
	}
	sockets, err := json.Marshal(names)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = os.Stdin, os.Stdout, os.Stderr, files
	cmd.Env = append(os.Environ(), roleVariable+"="+roleInner, socketVariable+"="+string(sockets),
		outerVariable+"="+strconv.Itoa(os.Getuid()))
	cmd.SysProcAttr = namespaces()

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

func namespaces() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
		// A group of its own: Ctrl-C reaches the inner process once, through us.
		Setpgid: true,
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
	for i, name := range names {
		f := os.NewFile(uintptr(3+i), name)
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("taking over the listener for %s: %w", name, err)
		}
		h.Listeners[name] = l
	}
	return h, nil
}
