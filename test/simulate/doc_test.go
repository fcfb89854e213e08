//go:debug randseednop=0

package simulate

// leftOut are the steps that are drawn only with -simulate.full.
var leftOut []string
