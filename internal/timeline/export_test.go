package timeline

// Remembered is how many streams, holders and objects the writer knows how to find.
func (t *Timeline) Remembered() (streams, holders, objects int) {
	return len(t.streams), len(t.holders), len(t.objects)
}
