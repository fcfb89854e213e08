package ledger

import (
	"slices"
	"unique"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Meter is what the ledger knows of one UsageMeter. It owns the segments that
// its observations make.
type Meter struct {
	Name       string
	Since      int64             // from when on the meter sees everything; seconds since the epoch
	Defined    int64             // from when on it is defined as it is; seconds since the epoch
	History    []usage.Metered   // what it measured when
	dimensions []uint32          // what it measures, by number
	measured   []usage.Dimension // all that it ever measured
	active     int
	words      struct { // that were asked for last
		value  words
		handle unique.Handle[words]
	}
}

// NewMeter is a meter that has seen nothing yet.
func NewMeter(name string, since int64, dimensions []usage.Dimension) *Meter {
	m := &Meter{Name: name, Since: since, Defined: since, History: usage.Redefined(nil, dimensions, since)}
	m.dimensions = m.numbers(dimensions)
	return m
}

// numbers are the dimensions' places in m.measured.
func (m *Meter) numbers(dimensions []usage.Dimension) []uint32 {
	numbers := make([]uint32, len(dimensions))
	for i, d := range dimensions {
		n := slices.Index(m.measured, d)
		if n < 0 {
			n = len(m.measured)
			m.measured = append(m.measured, d)
		}
		numbers[i] = uint32(n)
	}
	return numbers
}

// dimension is the meter's dimension i.
func (m *Meter) dimension(i int) usage.Dimension { return m.measured[m.dimensions[i]] }

// Dimensions are what the meter measures, in order.
func (m *Meter) Dimensions() []usage.Dimension {
	dimensions := make([]usage.Dimension, len(m.dimensions))
	for i := range dimensions {
		dimensions[i] = m.dimension(i)
	}
	return dimensions
}

// measures tells whether the meter measures, or once measured, the dimension.
func (m *Meter) measures(dimension string) bool {
	return slices.ContainsFunc(m.measured, func(d usage.Dimension) bool { return d.Name == dimension })
}

// Active is how many objects have an open segment.
func (m *Meter) Active() int { return m.active }
