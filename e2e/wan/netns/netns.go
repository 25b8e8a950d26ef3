// Package netns makes network namespaces and acts inside them, for the link
// emulator and the process clusters.
//
// It owns the file descriptors that keep a namespace alive: nothing is mounted
// under /run/netns, so a namespace vanishes with the process that made it, however
// that ends. It leaves to others what is set up inside.
//
// All methods may be called from any goroutine, also at the same time.
//
// Invariants:
//  1. A thread that was moved into a namespace is moved back before the goroutine
//     that borrowed it goes on, or it is thrown away.
//  2. A process started by Start is the child of a thread that lives as long as
//     the namespace: its Pdeathsig fires when this process dies, and not before.
package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrClosed is returned by what is asked of a closed namespace.
var ErrClosed = errors.New("network namespace is closed")

// NS is one network namespace.
type NS struct {
	file *os.File
	// starts carries what must run on the namespace's own thread. Sent by Start,
	// received by that thread, never closed; unbuffered, so a sender waits its turn.
	starts chan func()
	closed chan struct{} // closed by Close
	once   sync.Once
}

const threadNS = "/proc/thread-self/ns/net"

// New makes an empty namespace. The caller's own one does not change.
func New() (*NS, error) {
	ns := &NS{starts: make(chan func()), closed: make(chan struct{})}
	ready := make(chan error, 1)
	go ns.own(ready)
	return ns, <-ready
}

func unshare() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("making a network namespace: %w", err)
	}
	return nil
}

// own is the namespace's thread. It is never unlocked: when the goroutine ends,
// the thread goes too, and with it (Pdeathsig) what was started on it.
func (n *NS) own(ready chan<- error) {
	runtime.LockOSThread()
	if err := unshare(); err != nil {
		ready <- err
		return
	}
	f, err := os.Open(threadNS)
	if err != nil {
		ready <- fmt.Errorf("opening the new network namespace: %w", err)
		return
	}
	n.file = f
	ready <- nil
	for {
		select {
		case f := <-n.starts:
			f()
		case <-n.closed:
			return
		}
	}
}

// FD is the descriptor of the namespace, for netlink. It is valid until Close.
func (n *NS) FD() int { return int(n.file.Fd()) }

// Do runs f on a thread inside the namespace. Sockets, devices and netlink handles
// that f makes belong to the namespace for good; goroutines that f starts do not run
// in it.
func (n *NS) Do(f func() error) error {
	select {
	case <-n.closed:
		return ErrClosed
	default:
	}
	runtime.LockOSThread()
	home, err := os.Open(threadNS)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("opening the thread's network namespace: %w", err)
	}
	defer home.Close()
	if err := unix.Setns(n.FD(), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("entering a network namespace: %w", err)
	}
	defer func() {
		// Left locked when the way back fails: the thread dies with its goroutine
		// instead of running others' code in the wrong place.
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

// Start starts cmd inside the namespace.
func (n *NS) Start(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	select {
	case n.starts <- func() { done <- cmd.Start() }:
		return <-done
	case <-n.closed:
		return ErrClosed
	}
}

// Close lets the namespace go. What was started in it dies.
func (n *NS) Close() {
	n.once.Do(func() { close(n.closed); n.file.Close() })
}
