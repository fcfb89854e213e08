package journal

// Size-tiered compaction, as in an LSM tree: blocks of about one size are
// merged once there are several in a row, so that a row is written again once
// per tier, and of each tier there are few blocks.
const (
	// fan is how many blocks of a tier in a row are merged.
	fan = 8
	// firstTier is how large a block of the lowest tier is at most, in bytes: an
	// entry of some rows has 8 KiB, most of it the description of the columns. Each
	// tier's blocks are up to tierFactor times as large as those of the tier below.
	firstTier  = 32 << 10
	tierFactor = 4
	// tiers is how many there are; what is larger stays as it is.
	tiers = 2
)

// unit is what is merged as a whole: a block, or all blocks of one batch.
type unit struct {
	Key
	bytes int
	// leftOut tells that something was left out of it, which the archive has.
	leftOut bool
}

func (u unit) tier() int {
	tier := 0
	for limit := firstTier; u.bytes > limit && tier < tiers; limit *= tierFactor {
		tier++
	}
	return tier
}

// plan says which runs of units are to be merged now: as many blocks as make a
// full one, or fan blocks of one tier, with any smaller ones in between. A run
// has no holes, and runs do not overlap.
func plan(units []unit) [][]unit {
	for tier := range tiers {
		var runs [][]unit
		for _, row := range rows(units, tier) {
			runs = append(runs, pack(row, tier)...)
		}
		if len(runs) > 0 {
			return runs
		}
	}
	return nil
}

// rows are the stretches of units without a hole, and without one above the tier.
func rows(units []unit, tier int) [][]unit {
	var out [][]unit
	begin := 0
	for i := range units {
		if i > 0 && units[i].From != units[i-1].To+1 {
			out = append(out, units[begin:i])
			begin = i
		}
		if units[i].tier() > tier {
			out = append(out, units[begin:i])
			begin = i + 1
		}
	}
	return append(out, units[min(begin, len(units)):])
}

// pack divides a row into runs that each fit into a block.
func pack(row []unit, tier int) [][]unit {
	var runs [][]unit
	begin, bytes, same := 0, 0, 0
	for i, u := range row {
		if bytes+u.bytes > maxSpecBytes {
			if i-begin > 1 {
				runs = append(runs, row[begin:i])
			}
			begin, bytes, same = i, 0, 0
		}
		bytes += u.bytes
		if u.tier() == tier {
			same++
		}
	}
	if same >= fan {
		runs = append(runs, row[begin:])
	}
	return runs
}
