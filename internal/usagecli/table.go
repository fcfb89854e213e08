package usagecli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// gap is between two columns, and the others where there is little room, or none.
	gap, narrowGap, leastGap = 3, 2, 1
	// leastWrapped is how wide a column that wraps is at least.
	leastWrapped = 24
	// leastCut is how wide a column that is cut is at least.
	leastCut = 12
)

// layout is which columns of a table are shown, and how.
type layout struct {
	*table
	shown  []int
	widths []int // by column
	gap    int
}

// printTable writes a table for people. On a terminal it fits, as far as it can:
// what is piped has all columns, and a line for each row.
func (c *cli) printTable(t *table, wide bool) error {
	t, err := c.sorted(t)
	if err != nil || len(t.rows) == 0 { // what is said below it says why
		return err
	}
	l := &layout{table: t, gap: gap}
	for i, column := range t.columns {
		width := utf8.RuneCountInString(column.name)
		for _, row := range t.rows {
			width = max(width, 1, utf8.RuneCountInString(row[i]))
		}
		l.widths = append(l.widths, width)
		if wide || !column.wide {
			l.shown = append(l.shown, i)
		}
	}
	var missing []string
	if room, limited := c.room(); limited && !wide {
		missing = l.fit(room)
	}
	var out strings.Builder
	header := make([]string, len(t.columns))
	for i, column := range t.columns {
		header[i] = column.name
	}
	if !c.noHeaders {
		out.WriteString(c.paint(bold, l.lines(header)) + "\n")
	}
	for _, row := range t.rows {
		out.WriteString(l.lines(row) + "\n")
	}
	_, err = fmt.Fprint(c.Out, out.String())
	if err == nil && len(missing) > 0 {
		_, err = fmt.Fprintf(c.ErrOut, "There is no room for %s: -o wide shows all.\n", strings.Join(missing, ", "))
	}
	return err
}

// fit makes the table as narrow as there is room for, and returns the columns that
// are left out.
func (l *layout) fit(room int) (missing []string) {
	if l.width(l.widths) <= room {
		return nil
	}
	l.gap = narrowGap
	least := slices.Clone(l.widths)
	for i, column := range l.columns {
		if column.wraps {
			least[i] = min(least[i], leastWrapped)
		}
	}
	missing = l.leaveOut(least, room, func(column column) bool { return column.spare })
	if l.width(least) > room {
		l.gap = leastGap
	}
	for i, column := range l.columns {
		if column.cuts {
			least[i] = min(least[i], leastCut)
		}
	}
	missing = append(missing, l.leaveOut(least, room, func(column column) bool { return column.sparse })...)
	for i, column := range l.columns {
		if over := l.width(l.widths) - room; column.wraps && over > 0 {
			l.widths[i] = max(least[i], l.widths[i]-over)
		}
	}
	l.cut(room)
	return missing
}

// leaveOut leaves out such columns, the last one first, until those that are left may be as narrow
// as there is room for, and returns the names of those that it left out.
func (l *layout) leaveOut(least []int, room int, such func(column) bool) (missing []string) {
	for i := len(l.columns) - 1; i >= 0 && l.width(least) > room; i-- {
		if at := slices.Index(l.shown, i); at >= 0 && such(l.columns[i]) {
			l.shown = slices.Delete(l.shown, at, at+1)
			missing = append(missing, l.columns[i].name)
		}
	}
	return missing
}

// cut makes columns narrower whose names may be cut, the widest first.
func (l *layout) cut(room int) {
	for l.width(l.widths) > room {
		widest := -1
		for _, i := range l.shown {
			if l.columns[i].cuts && l.widths[i] > leastCut && (widest < 0 || l.widths[i] > l.widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		l.widths[widest]--
	}
}

// shortened is a text that fits a width, cut in the middle: names differ at both ends.
func shortened(text string, width int) string {
	letters := []rune(text)
	if len(letters) <= width {
		return text
	}
	head := width / 2
	return string(letters[:head]) + "…" + string(letters[len(letters)-(width-head-1):])
}

func (l *layout) width(widths []int) int {
	sum := -l.gap
	for _, i := range l.shown {
		sum += widths[i] + l.gap
	}
	return sum
}

// lines are a row, in as many as its longest cell has.
func (l *layout) lines(row []string) string {
	var made []string
	cells, lines := make([][]string, len(row)), 1
	for i, cell := range row {
		cells[i] = []string{cmp.Or(plain(cell), "-")}
		if l.columns[i].cuts {
			cells[i][0] = shortened(cells[i][0], l.widths[i])
		}
		if l.columns[i].wraps {
			cells[i] = wrapped(cells[i][0], l.widths[i])
		}
		lines = max(lines, len(cells[i]))
	}
	for n := range lines {
		var line strings.Builder
		for _, i := range l.shown {
			cell := ""
			if n < len(cells[i]) {
				cell = cells[i][n]
			}
			space := strings.Repeat(" ", max(0, l.widths[i]-utf8.RuneCountInString(cell)))
			if l.columns[i].right {
				cell = space + cell
			} else {
				cell += space
			}
			line.WriteString(cell + strings.Repeat(" ", l.gap))
		}
		made = append(made, strings.TrimRight(line.String(), " "))
	}
	return strings.Join(made, "\n")
}

// wrapped is a text in lines of a width, broken after commas and semicolons, between
// words only where a part is longer than a line, and within a word only where that is.
func wrapped(text string, width int) []string {
	return filled(parts(text, ",;"), width, func(part string) []string {
		return filled(parts(part, " "), width, func(word string) []string { return chopped(word, width) })
	})
}

// parts are a text's, each with what it ends with.
func parts(text, ends string) (all []string) {
	for text != "" {
		end := len(text)
		if i := strings.IndexAny(text, ends); i >= 0 {
			end = i + 1
		}
		all, text = append(all, text[:end]), text[end:]
	}
	return all
}

// chopped is a word in lines of a width: names of devices have no spaces.
func chopped(word string, width int) (lines []string) {
	for letters := []rune(strings.TrimLeft(word, " ")); ; letters = letters[width:] {
		if len(letters) <= width {
			return append(lines, string(letters))
		}
		lines = append(lines, string(letters[:width]))
	}
}

// filled puts parts into lines, and breaks those that are longer than one.
func filled(parts []string, width int, broken func(string) []string) []string {
	lines, line := []string{}, ""
	for _, part := range parts {
		fits := func(text string) bool { return utf8.RuneCountInString(strings.TrimSpace(text)) <= width }
		if !fits(line + part) {
			if text := strings.TrimSpace(line); text != "" {
				lines = append(lines, text)
			}
			line = ""
			if !fits(part) {
				pieces := broken(part)
				lines, part = append(lines, pieces[:len(pieces)-1]...), pieces[len(pieces)-1]
			}
		}
		line += part
	}
	return append(lines, strings.TrimSpace(line))
}
