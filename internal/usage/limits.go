package usage

// Detail is how much of what was held is listed. The zero value is all of it.
type Detail uint8

const (
	// DetailSegments lists each stretch in which one level was held.
	DetailSegments Detail = iota
	// DetailResources lists what each resource, or container of it, used of each dimension.
	DetailResources
	// DetailTotals lists what all of them used of each dimension.
	DetailTotals
)

var detailNames = [...]string{"Segments", "Resources", "Totals"}

// String is a word for it.
func (d Detail) String() string { return detailNames[d] }

// Limits bound what the records of one namespace say of one interval. They are
// those that bind: where none does, they are zero. What an interval was sealed with
// holds for its records for good.
type Limits struct {
	// Bytes is the namespace's share: how many its records may take. Where they would
	// take more, they list less. 0: any.
	Bytes int64
	// Deployments is how many deployments have records of their own. 0: any.
	Deployments int64
}

// IsZero tells whether nothing is bounded.
func (l Limits) IsZero() bool { return l == Limits{} }

// OtherDeployments is the deployment under which the records have those that have
// none of their own. It is no label's value, because of the parentheses; an owner that is
// called so in a reference gives no name.
const OtherDeployments = "(other deployments)"

// Others is the account of those deployments of the account's namespace.
func (a Account) Others() Account {
	a.Deployment = OtherDeployments
	return a
}
