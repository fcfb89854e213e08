package asking

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/internal/hub"
)

// Fleet says who may ask, and whose namespaces are.
type Fleet struct {
	// Readers are those who may ask. Who is none of them may not.
	Readers []Reader `json:"readers,omitempty"`
	// Customers are tenants that have namespaces in several clusters.
	Customers []Customer `json:"customers,omitempty"`
}

// Reader is somebody who may ask.
type Reader struct {
	Name string `json:"name"`
	// TokenSHA256 are the SHA-256 of tokens that prove it, in hex.
	TokenSHA256 []string `json:"tokenSHA256"`
	// Sees is what the reader sees: nothing, where there is nothing.
	Sees []Grant `json:"sees,omitempty"`
}

// Grant is a part of the fleet.
type Grant struct {
	// Clusters are names or UIDs; "*" is all of them.
	Clusters []string `json:"clusters"`
	// Namespaces are names in these clusters; left out: all that there ever was.
	Namespaces []string `json:"namespaces,omitempty"`
}

// Customer is a tenant of the fleet.
type Customer struct {
	Name       string       `json:"name"`
	Namespaces []InClusters `json:"namespaces"`
}

// InClusters are namespaces in clusters.
type InClusters struct {
	// Clusters are names or UIDs; "*" is all of them.
	Clusters []string `json:"clusters"`
	Names    []string `json:"names"`
}

// everyCluster stands for all of them.
const everyCluster = "*"

// ParseFleet reads a fleet file, and checks it.
func ParseFleet(text []byte) (*Fleet, error) {
	f := &Fleet{}
	if err := yaml.UnmarshalStrict(text, f); err != nil {
		return nil, err
	}
	names, tokens := map[string]bool{}, map[string]bool{}
	for i := range f.Readers {
		r := &f.Readers[i]
		if r.Name == "" || names[r.Name] {
			return nil, fmt.Errorf("readers[%d]: name: %q is of none, or of two", i, r.Name)
		}
		names[r.Name] = true
		for j, token := range r.TokenSHA256 {
			raw, err := hex.DecodeString(token)
			if err != nil || len(raw) != sha256.Size {
				return nil, fmt.Errorf("reader %s: tokenSHA256[%d]: want 64 hex digits, such as usage-hub token prints", r.Name, j)
			}
			r.TokenSHA256[j] = strings.ToLower(token)
			if tokens[r.TokenSHA256[j]] {
				return nil, fmt.Errorf("reader %s: tokenSHA256[%d]: there is another one that has it", r.Name, j)
			}
			tokens[r.TokenSHA256[j]] = true
		}
		for j := range r.Sees {
			if err := named(r.Sees[j].Clusters, r.Sees[j].Namespaces, r.Sees[j].Namespaces != nil); err != nil {
				return nil, fmt.Errorf("reader %s: sees[%d]: %w", r.Name, j, err)
			}
		}
	}
	return f, f.checkCustomers()
}

// named is an error if there is no cluster, or a namespace without a name.
func named(clusters, namespaces []string, want bool) error {
	switch {
	case len(clusters) == 0 || slices.Contains(clusters, ""):
		return errors.New("clusters: want names or UIDs, or \"*\" for all")
	case want && len(namespaces) == 0 || slices.Contains(namespaces, "") || slices.Contains(namespaces, everyCluster):
		return errors.New("namespaces: want names; of a reader, none at all are all of them")
	}
	return nil
}

func (f *Fleet) checkCustomers() error {
	names := map[string]bool{}
	for i := range f.Customers {
		c := &f.Customers[i]
		if c.Name == "" || names[c.Name] {
			return fmt.Errorf("customers[%d]: name: %q is of none, or of two", i, c.Name)
		}
		names[c.Name] = true
		for j, in := range c.Namespaces {
			if err := named(in.Clusters, in.Names, true); err != nil {
				return fmt.Errorf("customer %s: namespaces[%d]: %w", c.Name, j, err)
			}
		}
	}
	return nil
}

// reader is whose token it is; nil: nobody's.
func (f *Fleet) reader(token string) *Reader {
	sum := sha256.Sum256([]byte(token))
	hash := hex.EncodeToString(sum[:])
	for i := range f.Readers {
		if slices.Contains(f.Readers[i].TokenSHA256, hash) {
			return &f.Readers[i]
		}
	}
	return nil
}

// member is a cluster of the fleet. A name that several clusters have is nobody's: they are
// told apart by their UIDs.
type member struct {
	uid     hub.Cluster
	name    string // as it is shown: the UID, where the name is another one's, too
	written int64  // when its last block was; 0: there is none
}

// membersOf are the clusters of the fleet, in the order of their names.
func membersOf(heads []*hub.Head) []member {
	have := map[string]int{}
	for _, head := range heads {
		have[head.Name]++
	}
	list := make([]member, 0, len(heads))
	for _, head := range heads {
		m := member{uid: head.Cluster, name: head.Name, written: head.Written}
		if have[m.name] > 1 || m.name == "" {
			m.name = string(m.uid)
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b member) int { return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.uid, b.uid)) })
	return list
}

// is tells whether one of some names is the cluster's.
func (m *member) is(names []string) bool {
	return slices.Contains(names, m.name) || slices.Contains(names, string(m.uid))
}

// sees is what a reader sees of a cluster: all of it, or the namespaces of these names.
func (r *Reader) sees(m *member) (all bool, namespaces []string) {
	for i := range r.Sees {
		g := &r.Sees[i]
		if !m.is(g.Clusters) && !slices.Contains(g.Clusters, everyCluster) {
			continue
		}
		if g.Namespaces == nil {
			return true, nil
		}
		namespaces = append(namespaces, g.Namespaces...)
	}
	slices.Sort(namespaces)
	return false, slices.Compact(namespaces)
}

// customers are those that have namespaces in a cluster, by the namespaces' names. Of several
// that claim one, the first has it.
func (f *Fleet) customers(m *member) map[string]string {
	of := map[string]string{}
	for i := range f.Customers {
		c := &f.Customers[i]
		for _, in := range c.Namespaces {
			if !m.is(in.Clusters) && !slices.Contains(in.Clusters, everyCluster) {
				continue
			}
			for _, name := range in.Names {
				if _, taken := of[name]; !taken {
					of[name] = c.Name
				}
			}
		}
	}
	return of
}

// File is a fleet file, which is read again when it changes. While it cannot be read the
// former one counts.
type File struct {
	path  string
	clock clock.PassiveClock
	log   logr.Logger

	mu     sync.Mutex
	looked time.Time
	text   []byte
	fleet  *Fleet
}

// lookEvery is how often a fleet file is read.
const lookEvery = 2 * time.Second

// OpenFile reads a fleet file; "" is none: then nobody may ask.
func OpenFile(path string, clock clock.PassiveClock, log logr.Logger) (*File, error) {
	f := &File{path: path, clock: clock, log: log, fleet: &Fleet{}, looked: clock.Now()}
	if path == "" {
		return f, nil
	}
	return f, f.read()
}

func (f *File) read() error {
	text, err := os.ReadFile(f.path)
	if err == nil && f.text != nil && bytes.Equal(text, f.text) {
		return nil
	}
	var fleet *Fleet
	if err == nil {
		fleet, err = ParseFleet(text)
	}
	if err != nil {
		return fmt.Errorf("the fleet file %s: %w", f.path, err)
	}
	f.text, f.fleet = text, fleet
	return nil
}

// Fleet is what the file says now. Nobody changes it.
func (f *File) Fleet() *Fleet {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.clock.Now(); f.path != "" && now.Sub(f.looked) >= lookEvery {
		f.looked = now
		if err := f.read(); err != nil {
			f.log.Error(err, "cannot read who may ask; the former file counts")
		}
	}
	return f.fleet
}
