// Package usage holds the words that every other package shares: what is held
// (Subject), how much (level, Unit, Amount), from when to when (Boundary,
// Segment, Window), and how each moment is known (Evidence).
//
// It imports the standard library alone. All times are whole seconds since the
// Unix epoch, all windows are half-open, and nothing here is a float.
package usage
