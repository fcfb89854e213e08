//go:debug randseednop=0

package simulate

// What is left out of a script without -simulate.full, for what is known to come out
// wrong (doc.go): a script has either what makes the operator take in the past, or
// owners that change and what belongs to nobody.
var (
	// past are the faults after which changes of the past are taken in.
	past = []string{"kill", "restart the API", "take the API", "answer", "cut", "let a watch lag"}
	// moving are changes of owners, and what is placed after it was seen first.
	moving = []string{
		"relabel a deployment", "delete a deployment", "create a deployment with", "create a claim",
		"create a pod without", "create a widget without", "take a widget's",
	}
	// never is in no such script.
	never = []string{"take a deployment's"}
)
