package timeline

// SetForgetLeast makes streams be forgotten from so many on, and returns what undoes it.
func SetForgetLeast(n int) (restore func()) {
	before := forgetLeast
	forgetLeast = n
	return func() { forgetLeast = before }
}

// Remembered is how many streams, holders and objects the writer knows how to find.
func (t *Timeline) Remembered() (streams, holders, objects int) {
	return len(t.streams), len(t.holders), len(t.objects)
}
