package wire

import "github.com/usage-operator/usage-operator/api/v1alpha1"

// Series are figures for a chart: the largest groups, window by window, what the others
// add up to, and the totals.
type Series struct {
	// Windows are those that have begun; Window is what was asked for.
	Window  v1alpha1.TimeWindow `json:"window"`
	Windows []SeriesWindow      `json:"windows"`
	// Series are the groups, by metric, largest first. In each window they and the others
	// of a metric are its total.
	Series []Line `json:"series"`
	Others []Line `json:"others"`
	Totals []Line `json:"totals"`
	// MeteringBegan is when metering began of what is asked for; none: nothing meters it.
	MeteringBegan string `json:"meteringBegan,omitempty"`
	// Known is up to when there are figures, Sealed, up to when they are final.
	Known   string `json:"known"`
	Sealed  string `json:"sealed,omitempty"`
	Visible string `json:"visible"`
}

// SeriesWindow is a window, and how many of its seconds are known in which way to the
// meters of what is asked for.
type SeriesWindow struct {
	v1alpha1.TimeWindow
	Observed  int64 `json:"observedSeconds"`
	Replayed  int64 `json:"replayedSeconds"`
	Estimated int64 `json:"estimatedSeconds"`
	Unknown   int64 `json:"unknownSeconds"`
}

// Line is what a group, or several together, held in each window.
type Line struct {
	Group        map[string]string `json:"group,omitempty"`
	ResourceType string            `json:"resourceType,omitempty"`
	Dimension    string            `json:"dimension"`
	Unit         string            `json:"unit"`
	ExactUnit    string            `json:"exactUnit"`
	// Scale is how many of the exact unit make one of the unit.
	Scale string `json:"scale"`
	// Count is how many groups the others of a metric are.
	Count int `json:"count,omitempty"`
	// Exact are the figures by window; null where it is unknown.
	Exact []*string `json:"exact"`
	// Total is what is known of them, added up; null where nothing is.
	Total *Figure `json:"total"`
	// Accuracy is the worst of any window.
	Accuracy v1alpha1.Accuracy `json:"accuracy"`
}

// Capacity is what became of the cluster's capacity.
type Capacity struct {
	Window     v1alpha1.TimeWindow `json:"window"`
	Dimensions []CapacityDimension `json:"dimensions"`
	Known      string              `json:"known"`
	Sealed     string              `json:"sealed,omitempty"`
}

// CapacityDimension is one dimension of it.
type CapacityDimension struct {
	Dimension string `json:"dimension"`
	Unit      string `json:"unit"`
	ExactUnit string `json:"exactUnit"`
	Scale     string `json:"scale"`
	// CapacityMetrics are compared with HeldMetrics: node_pool.vcpu.
	CapacityMetrics []string        `json:"capacityMetrics"`
	HeldMetrics     []string        `json:"heldMetrics"`
	Total           CapacityFigures `json:"total"`
	// Windows are those that have begun.
	Windows []CapacityWindow `json:"windows"`
}

// CapacityWindow is one window's.
type CapacityWindow struct {
	v1alpha1.TimeWindow
	CapacityFigures
}

// CapacityFigures add up: attributed + unattributed + idle = capacity + beyond, in the time
// that is known of both what there is and what is held. They are null where there is none.
type CapacityFigures struct {
	ComparedSeconds int64             `json:"comparedSeconds"`
	UnknownSeconds  int64             `json:"unknownSeconds"`
	Capacity        *Figure           `json:"capacity"`
	Attributed      *Figure           `json:"attributed"`
	Unattributed    *Figure           `json:"unattributed"`
	Idle            *Figure           `json:"idle"`
	Beyond          *Figure           `json:"beyond"`
	Accuracy        v1alpha1.Accuracy `json:"accuracy"`
}

// Session is who looks at the page.
type Session struct {
	User string `json:"user"`
	// LoggedIn tells that a cookie says who it is, so that there is something to log out of.
	LoggedIn bool `json:"loggedIn"`
}

// Figure is a quantity, and the whole number that it is rounded from.
type Figure struct {
	Quantity string `json:"quantity"`
	Exact    string `json:"exact"`
}
