package ledger

import (
	"slices"
	"testing"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// A namespace is made again at 2000. What it takes over began after that.
func TestWhatANamespaceThatIsMadeAgainTakesOver(t *testing.T) {
	b := newBench(t)
	hold := func(uid, namespaceUID string, from, until int64) {
		m := vm("web", 1)
		m.Subject.Resource.UID, m.Subject.Instance.UID, m.Subject.NamespaceUID = uid, uid, namespaceUID
		of := func(o *Observation) {
			if o.UID = uid; uid == "older" {
				o.Created = 1999
			}
		}
		if err := b.Observe(b.at(from, []usage.Member{startedAt(m, from)}, of)); err != nil {
			t.Fatal(err)
		}
		if until != 0 {
			b.Remove(b.at(until, nil, of))
		}
	}
	hold("early", "former", 2003, 0)            // its namespace's own event came later
	hold("came and went", "former", 2003, 2005) // likewise
	hold("its end is late", "former", 1500, 0)  // it went with its namespace, and nobody has seen that yet
	hold("gone", "former", 1500, 1600)
	hold("nobody's", "", 1500, 0) // which namespace there was, nobody knew
	hold("its own", "again", 2003, 0)
	hold("older", "former", 2000, 2001) // it holds something from the very second on, and was there before
	want := []string{"came and went", "early", "nobody's"}
	if got := b.Within("shop", "again", 2000); !slices.Equal(got, want) {
		t.Errorf("takes over %q, want %q", got, want)
	}
}
