package usage

import (
	"cmp"
	"slices"
	"strings"
)

// Object names one Kubernetes object.
type Object struct {
	APIVersion string // "kubevirt.io/v1"
	Kind       string // "VirtualMachine"
	Name       string
	UID        string // identity: an object recreated under its old name is another one
}

// Account is under whom usage is recorded.
type Account struct {
	Namespace    string
	NamespaceUID string // a namespace recreated under its old name is another tenant
	Deployment   string // "" is unattributed
}

// CompareAccounts orders accounts by namespace, then deployment.
func CompareAccounts(a, b Account) int {
	return cmp.Or(
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.NamespaceUID, b.NamespaceUID),
		cmp.Compare(a.Deployment, b.Deployment),
	)
}

// Subject is who holds something, and under which attribution. Two subjects
// are the same exactly when they are ==.
type Subject struct {
	ResourceType string // "vm"
	Resource     Object // what is billed
	Instance     Object // what was read: the pod of a workload, the node of a pool
	Container    string // the member of the instance; "" when it has none
	Account
	// Of is which device's resource the dimensions count, where one dimension counts several kinds;
	// "" otherwise. Segments have it in the dimension's name (Dimension.Of), and
	// their subjects need not.
	Of         string
	Region     string
	Bundle     string // the size that it was ordered in, such as an instance type
	Attributes Attributes
}

// Attributes are facts to group and filter by, in canonical form (sorted by
// key), as one string so that subjects compare with ==.
type Attributes string

// The separators cannot occur in a key, and occur in a value only escaped.
const (
	pairEnd  = "\x00"
	keyEnd   = "\x01"
	escape   = "\x02"
	escapes  = pairEnd + keyEnd + escape
	unescape = "012"
)

// NewAttributes is the canonical form of facts. Facts without a value are left out.
func NewAttributes(facts map[string]string) Attributes {
	keys := make([]string, 0, len(facts))
	for key, value := range facts {
		if value != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var b strings.Builder
	for _, key := range keys {
		b.WriteString(key + keyEnd)
		for _, char := range []byte(facts[key]) {
			if at := strings.IndexByte(escapes, char); at >= 0 {
				b.WriteString(escape)
				char = unescape[at]
			}
			b.WriteByte(char)
		}
		b.WriteString(pairEnd)
	}
	return Attributes(b.String())
}

// With are the attributes with others under the names: what facts say, or nothing.
func (a Attributes) With(names []string, facts map[string]string) Attributes {
	all := a.Map()
	if all == nil {
		all = make(map[string]string, len(names))
	}
	for _, name := range names {
		all[name] = facts[name]
	}
	return NewAttributes(all)
}

// Map is the facts by key; nil when there are none.
func (a Attributes) Map() map[string]string {
	if a == "" {
		return nil
	}
	facts := map[string]string{}
	for pair := range strings.SplitSeq(strings.TrimSuffix(string(a), pairEnd), pairEnd) {
		key, value, _ := strings.Cut(pair, keyEnd)
		if strings.Contains(value, escape) {
			for at := range len(escapes) {
				value = strings.ReplaceAll(value, escape+unescape[at:at+1], escapes[at:at+1])
			}
		}
		facts[key] = value
	}
	return facts
}
