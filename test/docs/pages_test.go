// Package docs holds what the docs say against what there is: flags, commands, metrics, reasons, roles, kinds, files,
// links, and the layers of packages.
package docs

import (
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// page is a document, by its path from the repository's root.
type page struct{ path, text string }

// piece is code in a page: what stands in backticks, a line of a block, or the text of a link.
type piece struct {
	line int
	text string
	// typed is a line of a block that a person types.
	typed bool
	// output is a line of a block that is not typed: what a program prints, a manifest.
	output bool
}

var (
	fence    = regexp.MustCompile("^\\s*```\\s*([a-z]*)")
	quoted   = regexp.MustCompile("``(?:[^`]|`[^`])+``|`[^`]+`")
	linkText = regexp.MustCompile(`\[([^\]\[]+)\]\(`)
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`^#{1,6}\s+(.+?)\s*$`)
)

// lines calls each with every line of the page, and the language of the block that it is in: "" is no language, and
// inside tells whether it is in a block.
func (p page) lines(each func(number int, line, language string, inside bool)) {
	language, inside := "", false
	for i, line := range strings.Split(p.text, "\n") {
		if found := fence.FindStringSubmatch(line); found != nil {
			language, inside = found[1], !inside
			each(i+1, "", "", false)
			continue
		}
		each(i+1, line, language, inside)
	}
}

// paragraph is some lines of prose that belong together.
type paragraph struct {
	line int
	text string
}

// prose is what is in no block. Every row of a table is a paragraph.
func (p page) prose() []paragraph {
	var all []paragraph
	last := -1 // the line that a paragraph may go on from
	p.lines(func(number int, line, _ string, inside bool) {
		switch {
		case inside || strings.TrimSpace(line) == "":
			return
		case last == number-1 && !strings.HasPrefix(line, "|"):
			all[len(all)-1].text += "\n" + line
		default:
			all = append(all, paragraph{number, line})
		}
		if last = number; strings.HasPrefix(line, "|") {
			last = -1
		}
	})
	return all
}

// pieces are the pieces of code.
func (p page) pieces() []piece {
	var all []piece
	for _, prose := range p.prose() {
		add := func(text string, at int) {
			text = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), `\|`, "/")
			all = append(all, piece{line: prose.line + strings.Count(prose.text[:at], "\n"), text: text})
		}
		for _, at := range quoted.FindAllStringIndex(prose.text, -1) {
			add(strings.Trim(prose.text[at[0]:at[1]], "`"), at[0])
		}
		for _, at := range linkText.FindAllStringSubmatchIndex(prose.text, -1) {
			if text := prose.text[at[2]:at[3]]; !strings.Contains(text, "`") {
				add(text, at[0])
			}
		}
	}
	goesOn := false // the line before ends with a backslash
	p.lines(func(number int, line, language string, inside bool) {
		if !inside {
			goesOn = false
			return
		}
		text, ends := strings.CutSuffix(line, `\`)
		prompted, prompt := strings.CutPrefix(text, "$ ")
		typed := prompt || language == "sh" || language == "bash"
		switch {
		case goesOn:
			all[len(all)-1].text += " " + text
		case typed:
			all = append(all, piece{line: number, text: prompted, typed: true})
		default:
			all = append(all, piece{line: number, text: text, output: true})
		}
		goesOn = ends && (typed || goesOn)
	})
	return all
}

// anchors are the parts of the page that can be linked to, as GitHub calls them.
func (p page) anchors() map[string]bool {
	all, times := map[string]bool{}, map[string]int{}
	p.lines(func(_ int, line, _ string, inside bool) {
		found := heading.FindStringSubmatch(line)
		if inside || found == nil {
			return
		}
		text := regexp.MustCompile(`\[([^\]]+)\]\([^)]*\)`).ReplaceAllString(found[1], "$1")
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, text)
		if n := times[name]; n > 0 {
			all[name+"-"+strconv.Itoa(n)] = true
		} else {
			all[name] = true
		}
		times[name]++
	})
	return all
}

// links are the targets of the page's links, with their lines: of what is in the repository, from its root.
func (p page) links() (all []paragraph) {
	const self = "https://github.com/usage-operator/usage-operator/"
	for _, prose := range p.prose() {
		text := quoted.ReplaceAllStringFunc(prose.text, func(code string) string { return strings.Repeat("x", len(code)) })
		for _, at := range link.FindAllStringSubmatchIndex(text, -1) {
			target := prose.text[at[2]:at[3]]
			rest, own := strings.CutPrefix(target, self)
			kind, below, _ := strings.Cut(rest, "/main/")
			switch {
			case own && (kind == "blob" || kind == "tree"):
				target = below
			case strings.Contains(target, "://"), strings.HasPrefix(target, "mailto:"):
				continue
			case strings.HasPrefix(target, "#"):
				target = p.path + target
			default:
				target = path.Join(path.Dir(p.path), target)
			}
			all = append(all, paragraph{prose.line + strings.Count(prose.text[:at[0]], "\n"), target})
		}
	}
	return all
}

// cells are the code words in the columns of tables whose heading has the word, with their lines.
func (p page) cells(word string) (all []paragraph) {
	var columns []bool
	p.lines(func(number int, line, _ string, inside bool) {
		if inside || !strings.HasPrefix(line, "|") {
			columns = nil
			return
		}
		cells := strings.Split(strings.ReplaceAll(strings.TrimPrefix(line, "|"), `\|`, "/"), "|")
		if columns == nil {
			for _, cell := range cells {
				columns = append(columns, strings.Contains(strings.ToLower(cell), word))
			}
			return
		}
		for i, cell := range cells {
			if i < len(columns) && columns[i] {
				for _, code := range quoted.FindAllString(cell, -1) {
					all = append(all, paragraph{number, strings.Trim(code, "`")})
				}
			}
		}
	})
	return all
}
