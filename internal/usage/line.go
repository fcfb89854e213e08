package usage

import (
	"fmt"
	"strings"
)

const (
	// LineDigits are the decimals of a quantity in a line of text.
	LineDigits = 3
	// RecordLine is what a table of records in 120 columns has room for, in bytes.
	RecordLine = 55
	// ReportLine is what people can read.
	ReportLine = 64
)

// Line joins words about n things, after a verb or "", in the order of their resource
// types. Where there are several resource types each is named before its own; where it
// would have more than most bytes it says how many more there are.
func Line(verb string, most, n int, words func(i int) (resourceType, words string)) string {
	var b strings.Builder
	b.WriteString(verb)
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
		rest := 0
		if i < n-1 {
			rest = len(more(n - i - 1))
		}
		if i > 0 && b.Len()+len(", ")+len(part)+rest > most {
			b.WriteString(more(n - i))
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

// more says that there are n things that a line has no room for.
func more(n int) string { return fmt.Sprintf("; %d more", n) }
