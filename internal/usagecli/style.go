package usagecli

import (
	"os"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// style is how a terminal shows a text: a parameter of the escape sequence SGR.
type style string

const (
	bold   style = "1"
	green  style = "32"
	yellow style = "33"
	red    style = "31"
)

// colourful tells whether the output may have colours: on a terminal that has
// them, and to somebody who wants them (https://no-color.org).
func colourful(stream any) bool {
	return isTerminal(stream) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (c *cli) paint(s style, text string) string {
	if !c.colours || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// trust is how figures of an accuracy are shown.
var trust = map[v1alpha1.Accuracy]style{v1alpha1.AccuracyExact: green, v1alpha1.AccuracyEstimated: yellow, v1alpha1.AccuracyPartial: red}
