package archive

import (
	"context"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal"
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
