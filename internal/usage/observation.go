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
	// Start is when the present activity began, as the object says; zero when it
	// does not say.
	Start Boundary
	// End is when the activity ended, as the object says; zero when it does not
	// say, or the member is active.
	End Boundary
}
