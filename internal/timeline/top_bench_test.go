package timeline

import (
	"fmt"
	"testing"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// resourcesOfThree is a ledger of a hundred namespaces with a thousand resources each,
// of three dimensions.
func resourcesOfThree() *Timeline {
	line := New()
	var c Commit
	for r := range 100_000 {
		o := usage.Object{Kind: "VM", Name: fmt.Sprintf("machine-%06d", r), UID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", r)}
		subject := &usage.Subject{
			ResourceType: "vm", Resource: o, Instance: o,
			Account: usage.Account{Namespace: fmt.Sprint("tenant-", r/1000), NamespaceUID: fmt.Sprint(r / 1000), Deployment: fmt.Sprint("d", r%20)},
		}
		for _, d := range []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}, {Name: "storage", Unit: usage.Byte}} {
			c.Changes = append(c.Changes, usage.Change{Segment: usage.Segment{
				Meter: "vm", Subject: subject, Dimension: d, Level: 1 + int64(r%977),
				Start: usage.Boundary{At: int64(r % 3600), Evidence: usage.Observed}, End: usage.Boundary{At: 86400, Evidence: usage.Observed},
			}})
		}
	}
	for hour := int64(0); hour < 86400; hour += 3600 {
		c.Sealed = append(c.Sealed, usage.Window{Start: hour, End: hour + 3600})
	}
	line.Take(c)
	line.Publish()
	return line
}

// BenchmarkByResource reads what 100,000 resources used, of three dimensions each: all
// 300 pages of it, and those alone with most.
func BenchmarkByResource(b *testing.B) {
	s := resourcesOfThree().Snapshot()
	q := Query{Window: usage.Window{End: 86400}, Size: None, GroupBy: []Key{Namespace, Resource, ResourceType}}
	b.Run("pages", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			pager, rows := NewPager(MaxCells), 0
			for after, more := "", true; more; more = after != "" {
				page, next, err := pager.Page(b.Context(), s, q, 86400, after, 1000)
				if err != nil {
					b.Fatal(err)
				}
				rows, after = rows+len(page), next
			}
			if rows != 300_000 {
				b.Fatalf("%d rows", rows)
			}
		}
	})
	b.Run("top", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			top, err := NewPager(MaxCells).Top(b.Context(), s, q, 86400, 10)
			if err != nil || len(top.Rows) != 30 || len(top.Others) != 3 {
				b.Fatal(err)
			}
		}
	})
}
