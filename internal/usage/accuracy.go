package usage

// Accuracy is how well an amount is known: the worst of what it is made of.
type Accuracy uint8

const (
	// Exact: every boundary is known to the second, and nothing was missed.
	Exact Accuracy = iota
	// Estimated: a boundary has bounds, or what was held in between is taken from
	// before and after. The amount is the least that the bounds allow.
	Estimated
	// Partial: for a part of the time nobody knows what was held.
	Partial
)

var accuracyNames = [...]string{"Exact", "Estimated", "Partial"}

// String is the word that records and reports use.
func (a Accuracy) String() string { return accuracyNames[a] }
