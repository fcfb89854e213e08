package lifecycle

import (
	"maps"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// held is what one member holds of one dimension, and under which name.
type held map[line]int64

// oracle notes what is held from which second on, object by object, and sums
// it up second by second. It knows nothing of segments.
type oracle struct {
	// by UID, second and part: what is held from then on
	parts map[string]map[int64]map[string]held
}

func newOracle() *oracle {
	return &oracle{parts: map[string]map[int64]map[string]held{}}
}

// set notes that the object's part holds this from second at on.
func (o *oracle) set(uid, part string, at int64, what held) {
	if o.parts[uid] == nil {
		o.parts[uid] = map[int64]map[string]held{}
	}
	if o.parts[uid][at] == nil {
		o.parts[uid][at] = map[string]held{}
	}
	o.parts[uid][at][part] = what
}

// lines are what was held inside the window: level x seconds, by cell.
func (o *oracle) lines(w usage.Window) map[line]string {
	sums := map[line]int64{}
	for _, changes := range o.parts {
		now := map[string]held{}
		for second := begin; second < w.End; second++ {
			maps.Copy(now, changes[second])
			if second < w.Start {
				continue
			}
			for _, part := range now {
				for cell, level := range part {
					sums[cell] += level
				}
			}
		}
	}
	lines := map[line]string{}
	for cell, sum := range sums {
		if sum != 0 {
			lines[cell] = usage.Held(sum, 1).String()
		}
	}
	return lines
}
