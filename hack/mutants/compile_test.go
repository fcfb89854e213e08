package main

import "testing"

// A mutant whose text is not in the code any more is not looked for.
func TestEachMutantIsInTheCode(t *testing.T) {
	mutants, err := read("../../test/simulate/mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := breakAll("../..", mutants); err != nil {
		t.Error(err)
	}
	if len(mutants) < 25 {
		t.Errorf("%d mutants", len(mutants))
	}
}
