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
				c.seal(now, filling)
				for _, f := range fillers {
					f.done()
				}
				fillers = nil
			case 1:
				for level := int64(1); level <= n; level++ {
					x, there := all[level]
					if !there {
						continue
					}
					if day, i, found := c.forgotten(x.start, in.holder.identity()); found {
						gone := day.part.span(&day.records[i])
						delete(all, gone.level)
						own := c.day(day.part.day)
						*own = own.without(i)
					}
					break
				}
			default:
				start := rapid.Int64Range(-2*secondsOfDay, now+secondsOfDay).Draw(t, "start")
				x := span{start: start, level: n + 1, endEvidence: usage.Observed}
				x.end = start + rapid.SampledFrom([]int64{0, 1, secondsOfHour, 3 * secondsOfDay}).Draw(t, "length")
				x.startSlack, x.endSlack = rapid.SampledFrom([]uint32{0, 0, 7, 90_000}).Draw(t, "before"), rapid.SampledFrom([]uint32{0, 0, 7, 90_000}).Draw(t, "after")
				c.fresh = append(c.fresh, fresh{in: in, span: x})
				all[x.level] = x
			}
		}
		w := usage.Window{Start: rapid.Int64Range(-3*secondsOfDay, 20*secondsOfDay).Draw(t, "from")}
		w.End = w.Start + rapid.Int64Range(1, 3*secondsOfDay).Draw(t, "seconds")
		if rapid.Bool().Draw(t, "always") {
			w = always
		}
		found := map[int64]bool{}
		c.each(w, func(_ who, x *span) {
			if found[x.level] || all[x.level] != *x {
				t.Fatalf("%v: there is no such one, or no more of it", *x)
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
