package hub_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// A name that is long, and shared by many rows, is in a block once: its rows are refused,
// and the names that come often are not.
func TestRowsOfMuchText(t *testing.T) {
	s, _ := database(t, postgres.Start(t))
	long := strings.Repeat("n", 300_000)
	for name, change := range map[string]func(i int, c *usage.Change){
		"a subject's":    func(_ int, c *usage.Change) { c.Subject.Namespace = long },
		"its attributes": func(_ int, c *usage.Change) { c.Subject.Attributes = usage.NewAttributes(map[string]string{"a": long}) },
		"a row's":        func(_ int, c *usage.Change) { c.Meter = long },
		"the key of a row": func(i int, c *usage.Change) {
			c.Subject.Container, c.Subject.Resource.UID, c.Start.At = "", long, int64(i)
		},
	} {
		cluster := enrolled(t, s)
		a := newSource(t, cluster, "a", &blocks{}, nil)
		batch := holds("a", 0, 300)
		for i := range batch.Changes {
			batch.Changes[i].Subject.Container = fmt.Sprint("container-", i)
		}
		a.commit(t, batch)
		send(t, s, cluster, a.all()[0])
		large := holds("a", 1, 300)
		for i := range large.Changes {
			large.Changes[i].Subject.Container = fmt.Sprint("container-", i)
			change(i, &large.Changes[i])
		}
		a.commit(t, large)
		if n := len(a.all()); n != 2 {
			t.Fatalf("%s: there are %d blocks, want 2", name, n)
		}
		refused(t, s, cluster, a.all()[1], hub.TooLarge)
	}
}
