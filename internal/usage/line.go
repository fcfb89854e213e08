package usage

import (
	"fmt"
	"strings"
)

const (
	// LineDigits are the decimals of a quantity in a line of text.
	LineDigits = 3
	// maxLine keeps a table's line to what people can read, in bytes.
	maxLine = 64
)

// Line joins words about n things, in the order of their resource types. Where
// there are several resource types each is named before its own; where it would
// become too long it says how many more there are.
func Line(n int, words func(i int) (resourceType, words string)) string {
	var b strings.Builder
	typeOf := func(i int) string {
		resourceType, _ := words(i)
		return resourceType
	}
	several := n > 0 && typeOf(0) != typeOf(n-1)
	for i := range n {
		resourceType, part := words(i)
		first := i == 0 || typeOf(i-1) != resourceType
		if several && first {
			part = resourceType + ": " + part
		}
		if i > 0 && b.Len()+len(part) > maxLine {
			fmt.Fprintf(&b, "; %d more", n-i)
			break
		}
		switch {
		case i > 0 && first:
			b.WriteString("; ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(part)
	}
	return b.String()
}
