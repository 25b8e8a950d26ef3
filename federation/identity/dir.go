package identity

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

// rescanEvery bounds how long a change can go unseen when the file system sends
// no notification (some network file systems and bind mounts do not).
const rescanEvery = 10 * time.Second

// pollEvery is the interval where there are no notifications at all.
const pollEvery = time.Second

// Dir keeps a Source equal to a directory as kubelet projects a Secret:
// tls.crt, tls.key and ca.crt (the bundle of our own trust domain).
type Dir struct {
	path    string
	source  *Source
	log     *slog.Logger
	watcher func() (*fsnotify.Watcher, error)
	problem atomic.Pointer[error] // why the latest reading was of no use; nil is none
}

// NewDir returns a watcher for path; Run makes it work.
func NewDir(path string, source *Source, log *slog.Logger) *Dir {
	return &Dir{path: path, source: source, log: log, watcher: fsnotify.NewWatcher}
}

// Problem says why what the directory holds is not in force: wrapping
// fs.ErrNotExist while a file is missing; nil when it is, and before Run. It may be
// called from any goroutine.
func (d *Dir) Problem() error {
	if p := d.problem.Load(); p != nil {
		return *p
	}
	return nil
}

// Run reads the directory, then follows it until ctx ends. Files that are not
// there yet are waited for. Where the kernel gives no notifications any more (their
// number is bounded by fs.inotify.max_user_instances) it looks every second instead.
// An error means that the path can't be a directory.
func (d *Dir) Run(ctx context.Context) error {
	if err := os.MkdirAll(d.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("identity directory: %w", err)
	}
	watcher, err := d.notify()
	every := rescanEvery
	var events chan fsnotify.Event
	var problems chan error
	if err != nil {
		every = pollEvery
		d.log.Warn("no notifications for the identity directory, looking every second instead: is fs.inotify.max_user_instances used up on this node?", "path", d.path, "error", err)
	} else {
		defer func() { _ = watcher.Close() }()
		events, problems = watcher.Events, watcher.Errors
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		d.load()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-events:
		case err := <-problems:
			d.log.Warn("watching identity directory", "path", d.path, "error", err)
		}
	}
}

// notify asks the kernel to tell of changes.
func (d *Dir) notify() (*fsnotify.Watcher, error) {
	watcher, err := d.watcher()
	if err != nil {
		return nil, err
	}
	if err := watcher.Add(d.path); err != nil {
		return nil, errors.Join(err, watcher.Close())
	}
	return watcher, nil
}

// load installs what the files hold; what can't be used leaves the old in force.
func (d *Dir) load() {
	was, err := d.Problem(), d.read()
	switch {
	case err == nil && was != nil:
		d.log.Info("identity loaded", "path", d.path)
		d.problem.Store(nil)
	case err != nil && (was == nil || err.Error() != was.Error()): // logged once
		d.problem.Store(&err)
		d.log.Warn("identity not loaded, the previous one stays in force", "path", d.path, "error", err)
	}
}

func (d *Dir) read() error {
	var files [3][]byte
	for i, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		data, err := os.ReadFile(filepath.Join(d.path, name))
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", name, err)
		}
		files[i] = data
	}
	if err := d.source.SetKeyPair(files[0], files[1]); err != nil {
		return err
	}
	own, _, _ := d.source.Own()
	return d.source.SetBundle(own.TrustDomain, files[2])
}
