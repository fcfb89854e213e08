package meter

import (
	"fmt"
	"strings"
)

// InvalidExpression is one expression (or other field) of a UsageMeter that
// does not compile.
type InvalidExpression struct {
	Path       string // where it is: "spec.dimensions[0].quantity"
	Expression string // its whole text; "" for a field that is not an expression
	Line       int    // where in the text, from 1; 0 when it is not about one place
	Column     int
	Problem    string // what is wrong
	Want       string // what would be right; may be ""
}

// excerptLength is how much of a long line an error shows.
const excerptLength = 80

// Error says where, what is wrong and what would be right, in one line.
func (e InvalidExpression) Error() string {
	var b strings.Builder
	b.WriteString(e.Path)
	if e.Line > 0 {
		fmt.Fprintf(&b, " %d:%d", e.Line, e.Column)
	}
	b.WriteString(": " + e.Problem)
	if e.Want != "" {
		b.WriteString("; want " + e.Want)
	}
	if excerpt := e.excerpt(); excerpt != "" {
		fmt.Fprintf(&b, " (in %q)", excerpt)
	}
	return printable(b.String(), maxMessage)
}

// excerpt is the line that the error is in; of a long one, the part around the column.
func (e InvalidExpression) excerpt() string {
	line := strings.Join(strings.Fields(e.Expression), " ")
	if lines := strings.Split(e.Expression, "\n"); e.Line > 0 && e.Line <= len(lines) {
		line = lines[e.Line-1]
	}
	runes := []rune(line)
	if len(runes) <= excerptLength {
		return line
	}
	from := min(max(0, e.Column-excerptLength/2), len(runes)-excerptLength)
	return string(runes[from : from+excerptLength])
}

// InvalidExpressionsError is everything that is wrong with a UsageMeter.
type InvalidExpressionsError struct {
	Meter       string
	Expressions []InvalidExpression
}

// Error lists all of them.
func (e *InvalidExpressionsError) Error() string {
	problems := make([]string, len(e.Expressions))
	for i, expression := range e.Expressions {
		problems[i] = expression.Error()
	}
	return strings.Join(problems, "\n")
}
