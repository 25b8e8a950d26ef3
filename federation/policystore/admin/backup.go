package admin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	saver "go.etcd.io/etcd/client/v3/snapshot"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

// Backup is a snapshot on disk that has been read back.
type Backup struct {
	File string `json:"file"`
	// SHA256 is the file's, in hexadecimal.
	SHA256   string `json:"sha256"`
	Bytes    int64  `json:"bytes"`
	Revision int64  `json:"revision"`
	Keys     int    `json:"keys"`
}

// Backup writes a snapshot of the whole store to a new file, which only its owner may
// read, syncs it to the disk and reads it back. ctx bounds it.
func (a *Admin) Backup(ctx context.Context, file string) (Backup, error) {
	if _, err := os.Lstat(file); err == nil {
		return Backup{}, fmt.Errorf("%s exists already: choose another name, a backup replaces nothing", file)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return Backup{}, fmt.Errorf("writing the backup: %w", err)
	}
	endpoint, err := a.voter(ctx)
	if err != nil {
		return Backup{}, err
	}
	a.cfg.Say("asking %s for a snapshot", endpoint)
	if _, err := saver.SaveWithVersion(ctx, zap.NewNop(), a.clientConfig(ctx, endpoint), file); err != nil {
		return Backup{}, fmt.Errorf("writing the backup: %w", a.told(err))
	}
	if err := syncDir(filepath.Dir(file)); err != nil {
		return Backup{}, fmt.Errorf("writing the backup: %w", err)
	}
	b, err := ReadBackup(file)
	if err != nil {
		return Backup{}, fmt.Errorf("the backup has been written and can't be read back, do not rely on it: %w", err)
	}
	return b, nil
}

// voter is an endpoint whose member is in the quorum and sees a leader: a learner's or
// cut off member's snapshot could be old.
func (a *Admin) voter(ctx context.Context) (string, error) {
	var faults []error
	for _, e := range a.cfg.Endpoints {
		if _, err := a.knock(ctx, e); err != nil {
			faults = append(faults, err)
			continue
		}
		resp, err := a.ask(ctx, e)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("%s: %w", e, a.told(err)))
		case resp.IsLearner || resp.Leader == 0:
			faults = append(faults, fmt.Errorf("%s: this member is a learner or sees no leader, so its data may be old", e))
		default:
			return e, nil
		}
	}
	return "", fmt.Errorf("no member can give a snapshot: %w", errors.Join(faults...))
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the caller's own directory
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// ReadBackup checks a snapshot file from end to end: the digest that etcd appended, the
// database's pages, every key.
func ReadBackup(file string) (Backup, error) {
	b := Backup{File: file}
	if err := b.digest(); err != nil {
		return b, err
	}
	st, err := snapshot.NewV3(zap.NewNop()).Status(file)
	if err != nil {
		return b, fmt.Errorf("%s is no readable snapshot: %w", file, err)
	}
	b.Revision, b.Keys = st.Revision, st.TotalKey
	return b, nil
}

// digest reads the file once: the last 32 bytes are the digest of all before.
func (b *Backup) digest() error {
	f, err := os.Open(b.File)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b.Bytes = info.Size()
	if b.Bytes%512 != sha256.Size {
		return fmt.Errorf("%s is no complete snapshot: its digest is missing; take it with `causewayctl store backup`", b.File)
	}
	content, whole := sha256.New(), sha256.New()
	if _, err := io.CopyN(io.MultiWriter(content, whole), f, b.Bytes-sha256.Size); err != nil {
		return err
	}
	stored, err := io.ReadAll(io.TeeReader(f, whole))
	if err != nil {
		return err
	}
	if string(stored) != string(content.Sum(nil)) {
		return fmt.Errorf("%s is damaged: its content does not match its digest; use another backup", b.File)
	}
	b.SHA256 = hex.EncodeToString(whole.Sum(nil))
	return nil
}

// Restore is how a backup becomes one member's data.
type Restore struct {
	File string
	// DataDir is made; it must be absent or empty. Unless Etcd is set it is the --data-dir
	// of `causeway-operator store`.
	DataDir string
	// Etcd lays it out for an etcd of the user's own, with DataDir as its --data-dir.
	Etcd bool
	// Name is the member's. Default "causeway-store".
	Name string
	// PeerURL is what the member tells its peers. Default "http://127.0.0.1:2380".
	PeerURL string
	// InitialCluster is "name=url,name=url" of all members. Default: this one alone.
	InitialCluster string
	// Token goes into the new store's identity, so that no client takes it for the old
	// one. Members that are restored together need the same. Default: random, for one
	// member alone.
	Token string
}

func (r *Restore) fill() error {
	if r.Name == "" {
		r.Name = "causeway-store"
	}
	if r.PeerURL == "" {
		r.PeerURL = "http://127.0.0.1:2380"
	}
	if r.InitialCluster == "" {
		r.InitialCluster = r.Name + "=" + r.PeerURL
	}
	switch {
	case r.DataDir == "":
		return errors.New("no data directory given")
	case strings.Contains(r.InitialCluster, ",") && r.Token == "":
		return errors.New("several members are restored together by one token: give each the same, and a new one for each restore, for example the date and time")
	}
	if u, err := url.Parse(r.PeerURL); err != nil || u.Host == "" {
		return fmt.Errorf("peer URL %q: want https://host:port", r.PeerURL)
	}
	if r.Token == "" {
		r.Token = "causeway-restored-" + rand.Text()
	}
	return nil
}

// RestoreBackup checks a backup and lays it out as a member's data. It needs no running
// store. The new store has another identity than the old one.
func RestoreBackup(r Restore) (Backup, error) {
	if err := r.fill(); err != nil {
		return Backup{}, fmt.Errorf("restoring: %w", err)
	}
	b, err := ReadBackup(r.File)
	if err != nil {
		return b, fmt.Errorf("restoring: %w", err)
	}
	dir := r.DataDir
	if !r.Etcd {
		// The server keeps etcd's part below its own directory.
		dir = filepath.Join(r.DataDir, "etcd")
	}
	if found, err := os.ReadDir(dir); err == nil && len(found) > 0 {
		return b, fmt.Errorf("restoring: %s is not empty: choose another directory, or move it away while the member is stopped", dir)
	}
	if err := os.MkdirAll(r.DataDir, 0o700); err != nil {
		return b, fmt.Errorf("restoring: %w", err)
	}
	err = snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: r.File, Name: r.Name, OutputDataDir: dir, PeerURLs: []string{r.PeerURL},
		InitialCluster: r.InitialCluster, InitialClusterToken: r.Token,
	})
	if err != nil {
		return b, fmt.Errorf("restoring %s to %s: %w", r.File, dir, err)
	}
	return b, nil
}
