package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/causeway-mesh/causeway/federation/pki"
)

// certs makes the authorities of a try-out.
type certs struct {
	out        string
	namespace  string
	clusters   []string
	storeHosts []string
	validity   time.Duration
}

func certsCommand(f *flags) *cobra.Command {
	c := &certs{validity: pki.DefaultValidity}
	cmd := &cobra.Command{
		Use:   "certs --clusters NAME,NAME --store-host HOST",
		Short: "Make the certificate authorities of a try-out, as files ready to apply",
		Long: `Make the certificate authorities of a try-out, as files ready to apply:

  OUT/root.crt, root.key            the federation's root
  OUT/store-ca.crt, store-ca.key    the policy store's own authority
  OUT/store/                        the store's server certificate (tls.crt, tls.key, ca.crt)
  OUT/CLUSTER.yaml                  two Secrets for that cluster: causeway-ca, an intermediate
                                    for cert-manager, and causeway-store, its client certificate

What exists is kept: run it again with another name in --clusters to add a cluster. Keep the
two .key files of the authorities out of every cluster. Production brings its own authorities.`,
		Example: "  causewayctl certs --clusters us-east,eu-west --store-host policy-store.example.org",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c.namespace = f.namespace
			if err := c.validate(); err != nil {
				return err
			}
			made, err := c.make()
			for _, name := range made {
				_, _ = fmt.Fprintln(f.out, "wrote", name)
			}
			if err == nil && len(made) == 0 {
				_, _ = fmt.Fprintln(f.out, "nothing to do: every file exists in", c.out)
			}
			return err
		},
	}
	p := cmd.Flags()
	p.StringVar(&c.out, "out", "certs", "directory to write to")
	p.StringSliceVar(&c.clusters, "clusters", nil, "names of the clusters (required)")
	p.StringSliceVar(&c.storeHosts, "store-host", nil, "names and addresses at which the policy store is dialled (required the first time)")
	p.DurationVar(&c.validity, "validity", c.validity, "how long the certificates live, 1h or more")
	return cmd
}

func (c *certs) validate() error {
	var errs []error
	if len(c.clusters) == 0 {
		errs = append(errs, errors.New("--clusters is empty: name the clusters, for example --clusters us-east,eu-west"))
	}
	for _, name := range c.clusters {
		for _, why := range validation.IsDNS1123Label(name) {
			errs = append(errs, fmt.Errorf("--clusters: %q: %s", name, why))
		}
	}
	if c.validity < time.Hour {
		errs = append(errs, fmt.Errorf("--validity %s: want 1h or more", c.validity))
	}
	if _, err := os.Stat(filepath.Join(c.out, "store", "tls.crt")); errors.Is(err, fs.ErrNotExist) && len(c.storeHosts) == 0 {
		errs = append(errs, errors.New("--store-host is empty: give the name or address at which the clusters will dial the policy store"))
	}
	return errors.Join(errs...)
}

// make returns the files that it wrote.
func (c *certs) make() ([]string, error) {
	var made []string
	root, err := c.authority("root", "causeway federation root", &made)
	if err != nil {
		return made, err
	}
	store, err := c.authority("store-ca", "causeway policy store CA", &made)
	if err != nil {
		return made, err
	}
	if err := c.store(store, &made); err != nil {
		return made, err
	}
	for _, name := range c.clusters {
		if err := c.cluster(name, root, store, &made); err != nil {
			return made, err
		}
	}
	return made, nil
}

// authority reads NAME.crt and NAME.key, or makes them.
func (c *certs) authority(name, commonName string, made *[]string) (*pki.Authority, error) {
	certPEM, certErr := os.ReadFile(filepath.Join(c.out, name+".crt"))
	keyPEM, keyErr := os.ReadFile(filepath.Join(c.out, name+".key"))
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		a, err := pki.NewAuthority(commonName)
		if err != nil {
			return nil, err
		}
		a.Validity = c.validity
		return a, c.write(made, map[string][]byte{name + ".crt": a.CertPEM, name + ".key": a.KeyPEM})
	}
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, fmt.Errorf("one of %s.crt and %s.key is missing: put it back, or choose another --out: %w", name, name, err)
	}
	a, err := pki.Load(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(c.out, name), err)
	}
	a.Validity = c.validity
	return a, nil
}

func (c *certs) store(ca *pki.Authority, made *[]string) error {
	if exists(filepath.Join(c.out, "store", "tls.crt")) {
		return nil
	}
	subject := pki.Subject{CommonName: "policy-store"}
	for _, host := range c.storeHosts {
		if a, err := netip.ParseAddr(host); err == nil {
			subject.Addrs = append(subject.Addrs, a)
		} else {
			subject.DNSNames = append(subject.DNSNames, host)
		}
	}
	pair, err := ca.Issue(subject)
	if err != nil {
		return err
	}
	return c.write(made, map[string][]byte{"store/tls.crt": pair.CertPEM, "store/tls.key": pair.KeyPEM, "store/ca.crt": ca.CertPEM})
}

func (c *certs) cluster(name string, root, store *pki.Authority, made *[]string) error {
	file := name + ".yaml"
	if exists(filepath.Join(c.out, file)) {
		return nil
	}
	intermediate, err := root.Intermediate(name + " intermediate")
	if err != nil {
		return err
	}
	client, err := store.Issue(pki.Subject{CommonName: name})
	if err != nil {
		return err
	}
	ca, err := c.secret("causeway-ca", map[string][]byte{
		"tls.crt": append(bytes.Clone(intermediate.CertPEM), root.CertPEM...), "tls.key": intermediate.KeyPEM,
	})
	if err != nil {
		return err
	}
	access, err := c.secret("causeway-store", map[string][]byte{"ca.crt": store.CertPEM, "tls.crt": client.CertPEM, "tls.key": client.KeyPEM})
	if err != nil {
		return err
	}
	return c.write(made, map[string][]byte{file: bytes.Join([][]byte{ca, access}, []byte("---\n"))})
}

func (c *certs) secret(name string, data map[string][]byte) ([]byte, error) {
	text := map[string]string{}
	for key, value := range data {
		text[key] = strings.TrimSpace(string(value)) + "\n"
	}
	return yaml.Marshal(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.namespace, Labels: map[string]string{"app.kubernetes.io/part-of": "causeway"}},
		StringData: text,
	})
}

// write keeps keys from other users' eyes.
func (c *certs) write(made *[]string, files map[string][]byte) error {
	for name, data := range files {
		file := filepath.Join(c.out, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		mode := os.FileMode(0o644)
		if ext := filepath.Ext(name); ext == ".key" || ext == ".yaml" {
			mode = 0o600
		}
		if err := os.WriteFile(file, data, mode); err != nil {
			return err
		}
		*made = append(*made, file)
	}
	return nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
