package archive

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// noRecords are none.
type noRecords struct{}

func (noRecords) List(context.Context, func(*audit.Published) error) error { return nil }

// An audit goes on across the cut: every interval is computed again, and what changed in
// a chapter is found like what changed in a block.
func TestAnAuditOfACutJournal(t *testing.T) {
	blocks, there, says := cutLedger(t)
	seals := says["seals"].([]journal.Seal)
	verified := func() *audit.Report {
		report, err := audit.Verify(t.Context(), audit.Input{
			Blocks: blocks, Records: noRecords{}, Past: pastIn{there}, Clock: someClock(), Seal: seals[0].Digest,
		})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if report := verified(); !report.OK() || report.Intervals != len(seals) {
		t.Errorf("%+v, want %d intervals", report, len(seals))
	}
	m, err := parseManifest(there[firstDay.manifest()])
	if err != nil {
		t.Fatal(err)
	}
	there[m.Segments.Name][40] ^= 1
	if report := verified(); report.OK() || !strings.Contains(report.First.Detail, m.Segments.Name) {
		t.Errorf("%+v", report)
	}
}

// openRecord is a record of an interval that says that it is Open.
type openRecord usage.Window

func (r openRecord) List(_ context.Context, each func(*audit.Published) error) error {
	p := &audit.Published{
		Spec:   fmt.Appendf(nil, `{"namespace":"shop-0","namespaceUID":"ns-0","deployment":"db","startTime":%q,"endTime":%q}`, moment(r.Start), moment(r.End)),
		Status: []byte(`{"phase":"Open"}`),
	}
	p.Metadata.Namespace, p.Metadata.Name = "shop-0", "db"
	return each(p)
}

// A record of a day that was cut is overdue while it is Open, like one of any other day.
func TestAnOpenRecordOfACutDay(t *testing.T) {
	blocks, there, says := cutLedger(t)
	first := says["seals"].([]journal.Seal)[0].Interval
	for later, want := range map[time.Duration]bool{time.Minute: true, 2 * time.Hour: false} {
		clock := clocktesting.NewFakeClock(time.Unix(says["time"].(int64), 0).Add(later))
		report, err := audit.Verify(t.Context(), audit.Input{Blocks: blocks, Records: openRecord(first), Past: pastIn{there}, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		if report.OK() != want || (report.Open == 1) != want {
			t.Errorf("%s later: %+v, %v", later, report, report.First)
		}
	}
}
