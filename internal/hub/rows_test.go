package hub_test

import (
	"context"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// hostile are strings of any bytes; among them those that a database minds.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "db-0", "\x00", "\x1a", "\x1a00", "a\x00b", "\xff\xfe", "\xed\xa0\x80", "'; DROP TABLE segments", `{"a":"b"}`, `\`, "NULL", "{}", `"`}),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) }),
	)
}

func hostileChange() *rapid.Generator[usage.Change] {
	moment := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(-60_000_000_000, 250_000_000_000))
	return rapid.Custom(func(t *rapid.T) usage.Change {
		text := func(name string) string { return hostile().Draw(t, name) }
		object := func() usage.Object {
			return usage.Object{APIVersion: text("apiVersion"), Kind: text("kind"), Name: text("name"), UID: text("uid")}
		}
		boundary := func() usage.Boundary {
			return usage.Boundary{At: moment.Draw(t, "at"), Slack: rapid.Uint32().Draw(t, "slack"),
				Evidence: usage.Evidence(rapid.Uint8Max(uint8(usage.IntervalCut)).Draw(t, "evidence"))}
		}
		return usage.Change{
			Kind: usage.ChangeKind(rapid.Uint8Max(uint8(usage.More)).Draw(t, "kind")), Corrects: moment.Draw(t, "corrects"),
			Segment: usage.Segment{
				Meter: text("meter"), Dimension: usage.Dimension{Name: text("dimension"), Unit: usage.Unit(text("unit"))},
				Level: rapid.OneOf(rapid.Int64(), rapid.Just(int64(math.MinInt64))).Draw(t, "level"),
				Start: boundary(), End: boundary(),
				Subject: &usage.Subject{
					ResourceType: text("type"), Resource: object(), Instance: object(),
					Account:   usage.Account{Namespace: text("namespace"), NamespaceUID: text("namespaceUID"), Deployment: text("deployment")},
					Container: text("container"), Region: text("region"), Bundle: text("bundle"), Attributes: usage.Attributes(text("attributes")),
				},
			},
		}
	})
}

// Whatever names tenants choose: rows come back as they were.
func TestRowsComeBackAsTheyWere(t *testing.T) {
	s, _ := database(t, postgres.Start(t))
	rapid.Check(t, func(t *rapid.T) {
		cluster := enrolled(t, s)
		a := newSource(t, cluster, "a", &blocks{}, nil)
		for range rapid.IntRange(1, 3).Draw(t, "batches") {
			batch := &journal.Batch{Time: hour0 - hour, Changes: rapid.SliceOfN(hostileChange(), 0, 6).Draw(t, "changes")}
			for range rapid.IntRange(0, 2).Draw(t, "stretches") {
				batch.Coverage = append(batch.Coverage, usage.Stretch{
					Meter: hostile().Draw(t, "meter"), Window: usage.Window{Start: 1, End: 2},
					Coverage: usage.Coverage(rapid.Uint8Max(uint8(usage.CoverageUnknown)).Draw(t, "coverage")),
				})
			}
			a.commit(t, batch)
		}
		var changes []usage.Change
		var coverage []usage.Stretch
		for _, batch := range a.said {
			changes, coverage = append(changes, batch.Changes...), append(coverage, batch.Coverage...)
		}
		for _, stored := range a.all() {
			if _, err := s.Append(context.Background(), cluster, stored); err != nil {
				t.Fatal(err)
			}
		}
		k := ledger(t, s, cluster)
		if !equal(k.changes, changes) || !equal(k.coverage, coverage) {
			t.Fatalf("the rows are\n%+v\n%+v\nand were\n%+v\n%+v", k.changes, k.coverage, changes, coverage)
		}
	})
}
