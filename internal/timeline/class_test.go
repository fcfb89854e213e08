package timeline

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Whatever ends, in any order, is sealed and is taken out: what may matter to a
// window is all found, each once.
func TestAClassFindsAllThatMayMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &class{first: math.MaxInt64}
		in := &stream{holder: &holder{resource: &object{}, instance: &object{}}}
		parts, all := map[int64]*part{}, map[int64]span{} // by levels, which are numbers
		var fillers []*filler
		filling := func(day int64) *filler {
			if parts[day] == nil {
				parts[day] = &part{day: day}
			}
			fillers = append(fillers, &filler{part: parts[day]})
			return fillers[len(fillers)-1]
		}
		now := int64(0)
		for n := range rapid.Int64Range(0, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				now += rapid.Int64Range(0, 40*secondsOfHour).Draw(t, "passed")
				c.seal(0, now, filling)
				for _, f := range fillers {
					f.done()
				}
				fillers = nil
			case 1:
				x := all[rapid.Int64Range(1, 40).Draw(t, "which")]
				if day, i, found := c.forgotten(x.start, in.holder.identity()); found {
					gone := day.part.span(&day.records[i])
					delete(all, gone.level)
					own := c.day(day.part.day)
					*own = own.without(i)
				}
			default:
				x := drawSpan(t, now)
				x.level = n + 1
				c.fresh = append(c.fresh, fresh{in: in, span: x})
				all[x.level] = x
			}
		}
		from := rapid.Int64Range(-3*secondsOfDay, 20*secondsOfDay).Draw(t, "from")
		w := usage.Window{Start: from, End: from + rapid.Int64Range(1, 3*secondsOfDay).Draw(t, "seconds")}
		w = rapid.SampledFrom([]usage.Window{w, always}).Draw(t, "window")
		found := map[int64]bool{}
		c.each(w, func(_ who, x span) {
			if found[x.level] || all[x.level] != x {
				t.Fatalf("%v: there is no such one, or no more of it", x)
			}
			found[x.level] = true
		})
		for _, x := range all {
			if x.mayMatter(w) && !found[x.level] {
				t.Fatalf("%v is missing in %v", x, w)
			}
		}
	})
}

func drawSpan(t *rapid.T, now int64) span {
	start := rapid.Int64Range(-2*secondsOfDay, now+secondsOfDay).Draw(t, "start")
	slacks := rapid.SampledFrom([]uint32{0, 0, 7, 90_000})
	return span{
		start: start, end: start + rapid.SampledFrom([]int64{0, 1, secondsOfHour, 3 * secondsOfDay}).Draw(t, "length"),
		startSlack: slacks.Draw(t, "before"), endSlack: slacks.Draw(t, "after"), endEvidence: usage.Observed,
	}
}
