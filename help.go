package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

const (
	// helpWidth is how wide a line of help is at most.
	helpWidth = 80
	// helpIndent is before what a flag does, on the lines below its name.
	helpIndent = "          "
)

// usages are the flags, each with what it does on the lines below.
func usages(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		kind, does := pflag.UnquoteUsage(f)
		line := "      --" + f.Name
		if f.Shorthand != "" {
			line = "  -" + f.Shorthand + ", --" + f.Name
		}
		if kind != "" {
			line += " " + kind
		}
		if f.DefValue != "" && f.DefValue != "[]" {
			line += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		b.WriteString(line + "\n")
		line = helpIndent
		for word := range strings.FieldsSeq(does) {
			if line != helpIndent && len([]rune(line))+1+len([]rune(word)) > helpWidth {
				b.WriteString(line + "\n")
				line = helpIndent
			}
			if line != helpIndent {
				line += " "
			}
			line += word
		}
		b.WriteString(line + "\n")
	})
	return b.String()
}
