//go:debug randseednop=0

package simulate

import "slices"

// What scripts are made of without -simulate.full, and what each of them leaves out,
// for what is known to come out wrong: see doc.go.
var scripts = [][]string{
	slices.Concat(serverFaults, lags, moving),                                                   // operators are killed
	slices.Concat(operatorFaults, lags, moving, []string{"delete and create a namespace"}),      // the API server fails
	slices.Concat(operatorFaults, serverFaults, longLags, moving, []string{"relabel a widget"}), // watches lag
	slices.Concat(operatorFaults, serverFaults, lags, []string{"take a deployment's"}),          // owners change
}

var (
	operatorFaults = []string{"kill"}
	serverFaults   = []string{"restart the API", "take the API", "answer", "cut"}
	lags           = []string{"let a watch lag"}
	longLags       = []string{"let a watch lag for long"}
	// moving are changes that leave no time on owners, and what is placed after it was seen first.
	moving = []string{
		"take a deployment's", "create a claim", "create a pod without", "create a widget without", "take a widget's",
	}
)
