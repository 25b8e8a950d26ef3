package testbed

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// SecretMount projects a Secret into a directory as kubelet does: files are links
// into ..data, which is a link that is replaced in one step.
type SecretMount struct {
	Dir             string
	cluster         *Cluster
	namespace, name string
	mu              sync.Mutex
	n               int
	err             error
	// first is closed when the Secret has been projected for the first time.
	first chan struct{}
	once  sync.Once
}

// MountSecret makes the directory; Run follows the Secret, which need not exist yet.
func (c *Cluster) MountSecret(namespace, name, dir string) (*SecretMount, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return &SecretMount{Dir: dir, cluster: c, namespace: namespace, name: name, first: make(chan struct{})}, nil
}

// Mounted is closed when the Secret has been projected for the first time.
func (m *SecretMount) Mounted() <-chan struct{} { return m.first }

// Run follows the Secret until ctx ends. A deleted Secret leaves the files, as kubelet
// does.
func (m *SecretMount) Run(ctx context.Context) error {
	secrets := m.cluster.client.CoreV1().Secrets(m.namespace)
	only := fields.OneTermEqualSelector("metadata.name", m.name).String()
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = only
			return secrets.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = only
			return secrets.Watch(ctx, o)
		},
	}
	project := func(obj any) {
		if s, ok := obj.(*corev1.Secret); ok {
			m.project(s.Data)
		}
	}
	_, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: source, ObjectType: &corev1.Secret{},
		Handler: cache.ResourceEventHandlerFuncs{AddFunc: project, UpdateFunc: func(_, obj any) { project(obj) }},
	})
	controller.RunWithContext(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *SecretMount) project(data map[string][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	if err := writeVolume(m.Dir, m.n, data); err != nil {
		m.err = fmt.Errorf("projecting secret %s/%s: %w", m.namespace, m.name, err)
		return
	}
	m.err = nil
	m.once.Do(func() { close(m.first) })
}

const dataLink = "..data"

// writeVolume writes version n of the data and points ..data at it.
func writeVolume(dir string, n int, data map[string][]byte) error {
	version := "..v" + strconv.Itoa(n)
	if err := os.Mkdir(filepath.Join(dir, version), 0o755); err != nil {
		return err
	}
	for name, b := range data {
		if name != filepath.Base(name) {
			return fmt.Errorf("key %q is not a file name", name)
		}
		if err := os.WriteFile(filepath.Join(dir, version, name), b, 0o644); err != nil {
			return err
		}
	}
	old, _ := os.Readlink(filepath.Join(dir, dataLink))
	tmp := filepath.Join(dir, dataLink+"_tmp")
	_ = os.Remove(tmp)
	if err := os.Symlink(version, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(dir, dataLink)); err != nil {
		return err
	}
	if err := linkKeys(dir, slices.Collect(maps.Keys(data))); err != nil {
		return err
	}
	if old != "" {
		return os.RemoveAll(filepath.Join(dir, old))
	}
	return nil
}

// linkKeys makes the visible links and removes those of keys that are gone.
func linkKeys(dir string, keys []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type()&os.ModeSymlink != 0 && e.Name() != dataLink && !slices.Contains(keys, e.Name()) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for _, k := range keys {
		err := os.Symlink(filepath.Join(dataLink, k), filepath.Join(dir, k))
		if err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}
