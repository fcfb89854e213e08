package journal

import (
	"math"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Generators of what may come to the journal, and of what should not.

// hostile are strings of any bytes; among them those that some reader minds.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"", "db-0", "\x00", "\x1a", "\x1a00", "\x1a\x1a", "a\x00b", "\xff\xfe", "\xc3\x28", "\xed\xa0\x80", "é", "<a&b>", `"\`, "\u2028", "\x7f",
		}),
		rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) }),
	)
}

func attributesOf() *rapid.Generator[usage.Attributes] {
	return rapid.OneOf(
		rapid.Map(rapid.MapOfN(hostile().Filter(clean), hostile(), 0, 3), usage.NewAttributes),
		rapid.Map(hostile(), func(s string) usage.Attributes { return usage.Attributes(s) }),
	)
}

// clean tells whether a string may be an attribute's key.
func clean(key string) bool {
	for _, char := range []byte(key) {
		if char <= 2 {
			return false
		}
	}
	return true
}

// moment is a time that fits into years of four digits.
func moment() *rapid.Generator[int64] {
	return rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1_600_000_000, 1_900_000_000), rapid.Int64Range(-60_000_000_000, 250_000_000_000))
}

func objectOf() *rapid.Generator[usage.Object] {
	return rapid.Custom(func(t *rapid.T) usage.Object {
		return usage.Object{
			APIVersion: hostile().Draw(t, "apiVersion"), Kind: hostile().Draw(t, "kind"),
			Name: hostile().Draw(t, "name"), UID: hostile().Draw(t, "uid"),
		}
	})
}

func boundaryOf() *rapid.Generator[usage.Boundary] {
	return rapid.Custom(func(t *rapid.T) usage.Boundary {
		return usage.Boundary{
			At: moment().Draw(t, "at"), Slack: rapid.Uint32().Draw(t, "slack"),
			Evidence: usage.Evidence(rapid.Uint8Max(uint8(usage.IntervalCut)).Draw(t, "evidence")),
		}
	})
}

// anyChange is a change with anything in it.
func anyChange() *rapid.Generator[usage.Change] {
	return rapid.Custom(func(t *rapid.T) usage.Change {
		return usage.Change{
			Kind: usage.ChangeKind(rapid.Uint8Max(uint8(usage.More)).Draw(t, "kind")), Corrects: moment().Draw(t, "corrects"),
			Segment: usage.Segment{
				Meter: hostile().Draw(t, "meter"),
				Subject: &usage.Subject{
					ResourceType: hostile().Draw(t, "type"), Resource: objectOf().Draw(t, "resource"), Instance: objectOf().Draw(t, "instance"),
					Container: hostile().Draw(t, "container"), Region: hostile().Draw(t, "region"), Bundle: hostile().Draw(t, "bundle"),
					Account: usage.Account{
						Namespace: hostile().Draw(t, "namespace"), NamespaceUID: hostile().Draw(t, "namespaceUID"), Deployment: hostile().Draw(t, "deployment"),
					},
					Attributes: attributesOf().Draw(t, "attributes"),
				},
				Dimension: usage.Dimension{Name: hostile().Draw(t, "dimension"), Unit: usage.Unit(hostile().Draw(t, "unit"))},
				Level:     rapid.OneOf(rapid.Int64(), rapid.Just(int64(math.MaxInt64))).Draw(t, "level"),
				Start:     boundaryOf().Draw(t, "start"), End: boundaryOf().Draw(t, "end"),
			},
		}
	})
}

// someChange is a change of one of a few segments, so that changes meet.
func someChange() *rapid.Generator[usage.Change] {
	return rapid.Custom(func(t *rapid.T) usage.Change {
		kinds := []usage.ChangeKind{usage.Put, usage.Put, usage.Put, usage.Void, usage.Void, usage.Less, usage.More}
		c := usage.Change{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Segment: usage.Segment{
			Meter:     "vm",
			Subject:   &usage.Subject{ResourceType: "vm", Resource: usage.Object{UID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "uid")}},
			Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: rapid.Int64Range(0, 1000).Draw(t, "level"),
			Start: usage.Boundary{At: rapid.Int64Range(1, 3).Draw(t, "start"), Evidence: usage.Observed},
		}}
		if rapid.Bool().Draw(t, "ended") {
			c.End = usage.Boundary{At: rapid.Int64Range(3, 4).Draw(t, "end"), Evidence: usage.Observed} // some have no length
		}
		return c
	})
}

func batchOf(change *rapid.Generator[usage.Change]) *rapid.Generator[*Batch] {
	window := func(t *rapid.T) usage.Window {
		return usage.Window{Start: moment().Draw(t, "start"), End: moment().Draw(t, "end")}
	}
	meters := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Meter {
		m := Meter{
			Name: hostile().Draw(t, "name"), Version: hostile().Draw(t, "version"), ResourceType: hostile().Draw(t, "type"), Group: hostile().Draw(t, "group"),
			Kind: hostile().Draw(t, "kind"), Since: moment().Draw(t, "since"), Listed: rapid.Bool().Draw(t, "listed"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "dimensions") {
			m.Dimensions = append(m.Dimensions, usage.Dimension{Name: hostile().Draw(t, "name"), Unit: usage.Unit(hostile().Draw(t, "unit"))})
		}
		m.Defined = moment().Draw(t, "defined")
		for range rapid.IntRange(1, 3).Draw(t, "measured") {
			m.Measured = append(m.Measured, usage.Metered{
				Dimension: usage.Dimension{Name: hostile().Draw(t, "name"), Unit: usage.Unit(hostile().Draw(t, "unit"))},
				Since:     moment().Draw(t, "since"), Until: moment().Draw(t, "until"),
			})
		}
		return m
	}), 0, 3)
	positions := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Position {
		return Position{
			Group: hostile().Draw(t, "group"), Kind: hostile().Draw(t, "kind"),
			ResourceVersion: hostile().Draw(t, "resourceVersion"), Time: moment().Draw(t, "time"), Checked: moment().Draw(t, "checked"),
		}
	}), 0, 3)
	return rapid.Custom(func(t *rapid.T) *Batch {
		b := &Batch{Time: rapid.Int64Range(0, 1_700_000_000).Draw(t, "time"), Changes: rapid.SliceOfN(change, 0, 8).Draw(t, "changes")}
		if rapid.Bool().Draw(t, "says meters") {
			b.Meters = append([]Meter{}, meters.Draw(t, "meters")...)
		}
		if rapid.Bool().Draw(t, "says positions") {
			b.Positions = append([]Position{}, positions.Draw(t, "positions")...)
		}
		for range rapid.IntRange(0, 2).Draw(t, "stretches") {
			b.Coverage = append(b.Coverage, usage.Stretch{
				Meter: hostile().Draw(t, "meter"), Window: window(t), Coverage: usage.Coverage(rapid.Uint8Max(uint8(usage.CoverageUnknown)).Draw(t, "coverage")),
			})
		}
		for range rapid.IntRange(0, 2).Draw(t, "seals") {
			b.Seals = append(b.Seals, Seal{Interval: window(t), Digest: Digest{rapid.Byte().Draw(t, "digest")}, Partial: rapid.Bool().Draw(t, "partial"),
				Limits: usage.Limits{Bytes: rapid.Int64Range(0, 2).Draw(t, "bytes"), Deployments: rapid.Int64Range(0, 2).Draw(t, "deployments")}})
		}
		return b
	})
}
