package usagecli

import (
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// folding is a terminal, whose lines are broken between words: it would break them anywhere.
type folding struct {
	io.Writer
	file interface{ Fd() uintptr }
}

// Fd is the terminal's.
func (f *folding) Fd() uintptr { return f.file.Fd() }

// Write writes a text, all of it or nothing.
func (f *folding) Write(text []byte) (int, error) {
	said := string(text)
	if width, _, err := term.GetSize(int(f.file.Fd())); err == nil {
		said = folded(said, width)
	}
	if _, err := io.WriteString(f.Writer, said); err != nil {
		return 0, err
	}
	return len(text), nil
}

// folded breaks lines that are longer than a width between words; those that end nowhere, or
// move about, are left as they are.
func folded(text string, width int) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		ended, is := strings.CutSuffix(line, "\n")
		if !is || width <= 0 || utf8.RuneCountInString(ended) <= width || strings.ContainsAny(ended, "\r\x1b") {
			out.WriteString(line)
			continue
		}
		used := 0
		for i, word := range strings.Fields(ended) {
			length := utf8.RuneCountInString(word)
			switch {
			case i == 0:
			case used+1+length > width:
				out.WriteString("\n")
				used = 0
			default:
				out.WriteString(" ")
				used++
			}
			out.WriteString(word)
			used += length
		}
		out.WriteString("\n")
	}
	return out.String()
}
