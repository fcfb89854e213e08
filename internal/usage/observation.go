package usage

// Member is what a meter reads of one member of one object at one moment: the
// object itself, or one of its containers.
type Member struct {
	Subject Subject
	// Active tells whether the member holds anything now.
	Active bool
	// Levels are what it holds, in base units, by the meter's dimensions; 0 is
	// nothing held. Nil when the member is not active.
	Levels []int64
	// Things are, by the meter's dimensions, what the member has that other objects can
	// have too, of which each counts once (Thing); nil where there is none. Levels have
	// all of them.
	Things [][]string
	// Other is the object, by namespace and name, that what is held is read on, if it vouches
	// for this one; zero: none. Levels are what this object says itself.
	Other Named
	// Start is when the present activity began, as the object says; zero when it
	// does not say.
	Start Boundary
	// End is when the activity ended, as the object says; zero when it does not
	// say, or the member is active.
	End Boundary
}

// Thing is something that several objects can have and that is one all the same, as
// an address. Objects of a resource type, by whatever meter, share it in a dimension.
type Thing struct {
	ResourceType, Dimension, Key string
}

// Named is an object of a kind that is known.
type Named struct {
	Namespace, Name string
}
