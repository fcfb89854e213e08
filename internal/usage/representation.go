package usage

// Claim is what an object says of another one: that it is a part of it, and that
// the other one vouches for the keys. It is the object's word alone.
type Claim struct {
	Kind      GroupKind
	Namespace string // of the other object; "" for a cluster-scoped one
	Name      string
	UID       string // "": whichever bears the name
	Rule      int    // which of the meter's vouching rules the other one goes by
	// Shared tells that the name is one that others of the kind may go by too, wherever
	// they are (a class), and none's own: any of them may vouch.
	Shared bool
	Keys   []string
}

// GroupKind names a kind, in whichever version.
type GroupKind struct {
	Group, Kind string
}
