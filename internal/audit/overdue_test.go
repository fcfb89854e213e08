package audit

import (
	"fmt"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// An interval whose seal is in the archive was sealed by the entry that says so, and not by
// the blocks before it that it was left out of: these were written earlier.
func TestWhenAnArchivedIntervalWasSealed(t *testing.T) {
	day := usage.Window{Start: 1795132800, End: 1795132800 + 86400}
	at := func(moment int64) string { return time.Unix(moment, 0).UTC().Format(time.RFC3339) }
	said := func(written int64, field string) []byte {
		return fmt.Appendf(nil, `{"time":%q,%q:{"startTime":%q,"endTime":%q}}`, at(written), field, at(day.Start), at(day.End))
	}
	const sealed = 1795132800 + 86400 + 5*3600
	clock := clocktesting.NewFakeClock(time.Unix(sealed+60, 0))
	a := &auditor{
		Input: Input{Clock: clock}, sealed: map[int64]usage.Window{day.Start: day}, sealedAt: map[int64]int64{},
	}
	c := &checked{auditor: a}
	c.noteSeals(said(day.Start+3600, "leftOut"))
	c.noteSeals(said(sealed, "archived"))
	if a.overdue(day) {
		t.Error("it was sealed a minute ago, and its records may not be Open any more")
	}
	clock.Step(2 * time.Hour)
	if !a.overdue(day) {
		t.Error("it was sealed two hours ago, and its records may be Open")
	}
}
