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

// groupKey is where a flag has the title of its group.
const groupKey = "group"

// group puts all flags that are in no group yet into one.
func group(flags *pflag.FlagSet, title string) {
	flags.VisitAll(func(f *pflag.Flag) {
		if groupOf(f) == "" {
			f.Annotations = map[string][]string{groupKey: {title}}
		}
	})
}

// groupOf is the title of a flag's group; empty: it is in none.
func groupOf(f *pflag.Flag) string { return strings.Join(f.Annotations[groupKey], "") }

// usages are the flags, each with what it does on the lines below, group by group.
func usages(flags *pflag.FlagSet) string {
	var b strings.Builder
	title := ""
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		if of := groupOf(f); of != title {
			if title = of; b.Len() > 0 {
				b.WriteString("\n")
			}
			b.WriteString(title + ":\n")
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
