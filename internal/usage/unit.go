package usage

import "cmp"

// Unit is what a level is counted in: one of the four below, or a name of the
// meter's author.
type Unit string

// The units that have a scale of their own.
const (
	Core         Unit = "core"
	Byte         Unit = "byte"
	Count        Unit = "count"
	BitPerSecond Unit = "bit_per_second"
)

const (
	secondsPerHour = 3600
	gibi           = 1 << 30
	giga           = 1_000_000_000
)

// Scale is how many base units make one unit. Levels are kept in base units:
// thousandths of a core, a count or an author's own unit; whole bytes and
// whole bits per second.
func (u Unit) Scale() int64 {
	switch u {
	case Byte, BitPerSecond:
		return 1
	}
	return 1000
}

// Base is the base unit's name: "millicore", "byte", "millicount".
func (u Unit) Base() string {
	switch u {
	case Byte, BitPerSecond:
		return string(u)
	}
	return "milli" + string(u)
}

// ExactUnit names what an Amount of this unit counts: "millicore-second". No unit is "".
func (u Unit) ExactUnit() string {
	if u == "" {
		return ""
	}
	return u.Base() + "-second"
}

// HourUnit names what people read: "core-hour", "GiB-hour". A count is named
// for what it counts, so that a load balancer's reads "load_balancer-hour". No unit is "".
func (u Unit) HourUnit(dimension string) string {
	if u == "" {
		return ""
	}
	return u.shown(dimension) + "-hour"
}

// Hours is the amount in HourUnit, with at most digits decimals.
func (u Unit) Hours(amount Amount, digits int) string {
	return amount.Decimal(u.PerHour(), digits)
}

// PerHour is how many of an ExactUnit make one HourUnit.
func (u Unit) PerHour() int64 { return u.Scale() * u.multiple() * secondsPerHour }

// HourWords are the amount for a line of text: "vcpu 2.5 core-hour", "1 load balancer-hours".
func (u Unit) HourWords(amount Amount, dimension string, digits int) string {
	return u.named(u.Hours(amount, digits)+" "+u.SpokenHours(dimension), dimension)
}

// LevelWords are what is held, for a line of text: "vcpu 4 core", "memory 16
// GiB", "1 load balancer". held is the level over one second.
func (u Unit) LevelWords(held Amount, dimension string, digits int) string {
	quantity := held.Decimal(u.Scale()*u.multiple(), digits)
	if u == Count {
		return spokenLevel(quantity, dimension)
	}
	return u.named(quantity+" "+u.shown(dimension), dimension)
}

// Shown is level base units as people read them, and in which unit: "16", "GiB".
func (u Unit) Shown(level int64, dimension string, digits int) (quantity, unit string) {
	return Held(level, 1).Decimal(u.Scale()*u.multiple(), digits), u.shown(dimension)
}

// Level is level base units, written in the unit itself: 2500 millicores are "2.5".
func (u Unit) Level(level int64) string {
	return Held(level, 1).Decimal(u.Scale(), 3)
}

// multiple is how many units make one that people read.
func (u Unit) multiple() int64 {
	switch u {
	case Byte:
		return gibi
	case BitPerSecond:
		return giga
	}
	return 1
}

// shown is the unit that people read: of a count, what is counted.
func (u Unit) shown(dimension string) string {
	switch u {
	case Byte:
		return "GiB"
	case BitPerSecond:
		return "Gbit_per_second"
	case Count:
		plain, what := Dimension{Name: dimension}.Plain()
		return cmp.Or(what, plain.Name)
	}
	return string(u)
}

// named puts the dimension before words that do not have it already.
func (u Unit) named(words, dimension string) string {
	if u == Count {
		return words
	}
	return dimension + " " + words
}
