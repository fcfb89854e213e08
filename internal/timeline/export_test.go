package timeline

// Blocks are small, so that there are many.
func init() { PackInBlocksOf(5) }

// PackInBlocksOf has blocks of at most so many segments.
func PackInBlocksOf(segments int) { blockRecords = segments }

// BlockRecords is how many there are outside of tests.
const BlockRecords = 8192

// Remembered is how many streams, holders and objects the writer knows how to find.
func (t *Timeline) Remembered() (streams, holders, objects int) {
	return len(t.streams), len(t.holders), len(t.objects)
}

// Groups is how many groups the tally has, with those that hold nothing.
func (t *Tally) Groups() int { return len(t.groups) }
