package hub_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// pods is a batch in which so many containers begin, and those of the batch before end, with two dimensions each.
func pods(batch, n int) *journal.Batch {
	b := &journal.Batch{Time: hour0 - 10*hour + int64(5*batch)}
	change := func(of, i int, dimension string, end int64) {
		uid := fmt.Sprintf("%08x-1111-4000-8000-%012x", of, i)
		c := usage.Change{Segment: usage.Segment{
			Meter: "container", Dimension: usage.Dimension{Name: dimension, Unit: usage.Core}, Level: 500,
			Subject: &usage.Subject{
				ResourceType: "container", Container: "app", Region: "eu-central-1",
				Account:    usage.Account{Namespace: fmt.Sprint("team-", i%7), NamespaceUID: fmt.Sprintf("%036d", i%7), Deployment: fmt.Sprint("service-", i%23)},
				Resource:   usage.Object{APIVersion: "apps/v1", Kind: "Deployment", Name: fmt.Sprint("service-", i%23), UID: fmt.Sprintf("%036d", i%23)},
				Instance:   usage.Object{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprintf("service-%d-7d4b9c6f5-%05x", i%23, i), UID: uid},
				Attributes: usage.NewAttributes(map[string]string{"node": fmt.Sprint("node-", i%11)}),
			},
			Start: usage.Boundary{At: hour0 - 10*hour + int64(5*of), Evidence: usage.ObjectTime},
		}}
		if end > 0 {
			c.End = usage.Boundary{At: end, Evidence: usage.ObjectTime}
		}
		b.Changes = append(b.Changes, c)
	}
	for i := range n {
		for _, dimension := range []string{"cpu", "memory"} {
			change(batch, i, dimension, 0)
			if batch > 0 {
				change(batch-1, i, dimension, b.Time)
			}
		}
	}
	return b
}

// BenchmarkAppend appends blocks of pods that come and go to one chain: go test ./internal/hub -bench Append -run -.
// The server does not wait for its disk.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint("pods=", n), func(b *testing.B) {
			s, location := database(b, postgres.Start(b))
			cluster := enrolled(b, s)
			a := newSource(b, cluster, "a", &blocks{}, nil)
			rows := 0
			for i := range b.N {
				batch := pods(i, n)
				rows += len(batch.Changes)
				a.commit(b, batch)
			}
			sent := a.all()
			b.ResetTimer()
			for _, stored := range sent {
				if _, err := s.Append(b.Context(), cluster, stored); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			connection, err := pgx.Connect(b.Context(), location)
			if err != nil {
				b.Fatal(err)
			}
			defer connection.Close(context.Background())
			for _, table := range []string{"blocks", "subjects", "segments"} {
				var bytes int64
				if err := connection.QueryRow(b.Context(), "SELECT pg_total_relation_size($1::text::regclass)", table).Scan(&bytes); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(bytes)/float64(rows), table+"-B/row")
			}
		})
	}
}

// BenchmarkCopy writes as many rows with as many columns by COPY, with nothing else, to compare.
func BenchmarkCopy(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint("pods=", n), func(b *testing.B) {
			_, location := database(b, postgres.Start(b))
			connection, err := pgx.Connect(b.Context(), location)
			if err != nil {
				b.Fatal(err)
			}
			defer connection.Close(context.Background())
			columns := []string{"cluster", "sequence", "ordinal", "kind", "corrects", "subject", "meter", "dimension", "unit", "level",
				"starts", "start_slack", "start_evidence", "ends", "end_slack", "end_evidence"}
			cluster, rows := uid(), 0
			b.ResetTimer()
			for i := range b.N {
				changes := pods(i, n).Changes
				rows += len(changes)
				_, err := connection.CopyFrom(b.Context(), pgx.Identifier{"segments"}, columns, pgx.CopyFromSlice(len(changes), func(at int) ([]any, error) {
					c := &changes[at]
					return []any{string(cluster), int64(i), int64(at), c.Kind.String(), c.Corrects, int64(at), c.Meter, c.Dimension.Name, string(c.Dimension.Unit), c.Level,
						c.Start.At, int64(c.Start.Slack), c.Start.Evidence.String(), c.End.At, int64(c.End.Slack), c.End.Evidence.String()}, nil
				}))
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
