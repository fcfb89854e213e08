//go:debug randseednop=0

package simulate

// leftOut are the steps that are drawn only with -simulate.full: see the report
// of what is known to be wrong in doc.go.
var leftOut = []string{"take a deployment's label away", "let a watch lag for long"}
