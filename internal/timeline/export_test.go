package timeline

// Remembered is how many streams, holders and objects the writer knows how to find.
func (t *Timeline) Remembered() (streams, holders, objects int) {
	return len(t.streams), len(t.holders), len(t.objects)
}

// Groups is how many groups the tally has, with those that hold nothing.
func (t *Tally) Groups() int { return len(t.groups) }
