package ledger

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Who may write an object may write the times in its managedFields too. What the watch
// delivers is dated by them within what the operator's own clock says of it, to a second:
// no date ends use earlier, or begins it later.
func TestADateThatIsMadeUpShortensNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := newBench(t)
		before := rapid.Int64Range(0, 8000).Draw(r, "level before")
		now := rapid.Int64Range(0, 8000).Draw(r, "level now")
		first := vm("web", before)
		if before == 0 {
			first = stopped(first, 0)
		}
		b.observe(1010, first)

		o := b.at(0, []usage.Member{vm("web", now)})
		if now == 0 {
			o.Members[0] = stopped(o.Members[0], 0)
		}
		o.Origin = rapid.SampledFrom([]Origin{Live, Replayed}).Draw(r, "origin")
		o.Existed = true
		o.After = rapid.Int64Range(1010, 1050).Draw(r, "after")
		o.Before = o.After + rapid.Int64Range(0, 4).Draw(r, "wide")
		o.Now = o.Before + rapid.Int64Range(0, 20).Draw(r, "late")
		o.Written = rapid.Int64Range(1000, o.Now+10).Draw(r, "written")
		o.Fields = rapid.Uint32Range(0, 2).Draw(r, "fields")
		if err := b.Observe(o); err != nil {
			r.Fatal(err)
		}

		window := usage.Window{Start: since, End: 2000}
		held := int64(0)
		for _, account := range b.Accounts(window, window.End) {
			for _, s := range b.Cut(account, window, window.End) {
				end := s.End.At
				if s.End.IsZero() {
					end = window.End
				}
				held += s.Level * (end - s.Start.At)
			}
		}
		// At worst, what was has ended as early as it can have, and what is began as late, to a second.
		least := before*max(0, o.After-aSecond-1010) + now*(window.End-o.Before-aSecond)
		if held < least {
			r.Errorf("%d held, want %d at the least: %v", held, least, b.lines(window, window.End))
		}
	})
}
