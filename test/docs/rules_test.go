package docs

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// finding is something that a page says and that is not so.
type finding struct {
	line int
	text string
}

// rule finds what a page says that is not so.
type rule struct {
	name string
	find func(*facts, page) []finding
}

var rules = []rule{
	{"commands and their flags", commandsExist},
	{"flags by themselves", flagsExist},
	{"metrics", metricsExist},
	{"reasons", reasonsExist},
	{"roles and other objects", objectsExist},
	{"kinds", kindsExist},
	{"words of code", wordsExist},
	{"files and folders", filesExist},
	{"links", linksResolve},
}

// collect makes findings.
type collect []finding

func (c *collect) add(line int, format string, args ...any) {
	*c = append(*c, finding{line, fmt.Sprintf(format, args...)})
}

// commandsExist: the commands of the project's own programs, what is typed after them, and make's targets and variables.
func commandsExist(f *facts, p page) []finding {
	var found collect
	for _, piece := range p.pieces() {
		if piece.output {
			continue
		}
		for _, call := range calls(piece.text) {
			if program := f.programs[call.program]; program != nil {
				for _, wrong := range program.wrong(call.args) {
					found.add(piece.line, "%s: %s", piece.text, wrong)
				}
			}
		}
	}
	return found
}

var aFlag = regexp.MustCompile("(?:^|[\\s\"'(\\[{,=`])--([a-z][a-z0-9-]*[a-z0-9])")

// flagsExist: a flag that is named without a command, in a manifest or in what a program prints is one of the project's.
func flagsExist(f *facts, p page) []finding {
	var found collect
	check := func(line int, text string) {
		for _, flag := range aFlag.FindAllStringSubmatch(text, -1) {
			if !f.flagOfAny(flag[1]) && othersFlags[flag[1]] == "" {
				found.add(line, "no program of the project has a flag --%s", flag[1])
			}
		}
	}
	for _, piece := range p.pieces() {
		if piece.output || strings.HasPrefix(piece.text, "-") {
			check(piece.line, piece.text)
		}
	}
	for _, prose := range p.prose() {
		for i, line := range strings.Split(quoted.ReplaceAllString(prose.text, "x"), "\n") {
			check(prose.line+i, line)
		}
	}
	return found
}

var aMetric = regexp.MustCompile(`\busage_(?:operator|hub)_[a-z_]*[a-z]\b`)

// metricsExist: a metric is in the tables of docs/metrics.md or docs/fleet.md, which tests beside the metrics compare with
// what is registered. A histogram has more series than one.
func metricsExist(f *facts, p page) []finding {
	var found collect
	for i, line := range strings.Split(p.text, "\n") {
		for _, name := range aMetric.FindAllString(line, -1) {
			of := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if !f.metrics[name] && !f.metrics[of] && othersNames[name] == "" {
				found.add(i+1, "there is no metric %s", name)
			}
		}
	}
	return found
}

var (
	camelCase = regexp.MustCompile(`^[A-Z][a-z]+(?:[A-Z][A-Za-z]*)?$`)
	reasonOf  = regexp.MustCompile(`\breason=(\w+)`)
)

// reasonsExist: what stands in a column of reasons, or is selected as one, is a reason.
func reasonsExist(f *facts, p page) []finding {
	var found collect
	for _, cell := range p.cells("reason") {
		if camelCase.MatchString(cell.text) && !f.reasons[cell.text] {
			found.add(cell.line, "there is no reason %s", cell.text)
		}
	}
	for _, piece := range p.pieces() {
		for _, name := range reasonOf.FindAllStringSubmatch(piece.text, -1) {
			if !f.reasons[name[1]] {
				found.add(piece.line, "there is no reason %s", name[1])
			}
		}
	}
	return found
}

// A pod's name goes on with a digit.
var anObject = regexp.MustCompile(`\busage-operator(?:-[a-z]+)+\b(?:-[a-z]*[0-9])?`)

// objectsExist: roles, bindings, policies, Services and so on that are called after the operator are in config/.
func objectsExist(f *facts, p page) []finding {
	var found collect
	for i, line := range strings.Split(p.text, "\n") {
		for _, name := range anObject.FindAllString(line, -1) {
			if f.objects[name] == nil && !f.samples[name] && othersNames[name] == "" && !strings.ContainsAny(name, "0123456789") {
				found.add(i+1, "config/ has no object %s", name)
			}
		}
	}
	return found
}

var (
	aKind     = regexp.MustCompile(`\b(?:Cluster)?Usage(?:Meter|Record|Report|Block)[A-Za-z]*\b`)
	aResource = regexp.MustCompile(`\b(?:cluster)?usage(?:meter|record|report|block)[a-z]*\b`)
)

// kindsExist: what begins like one of the kinds is one, or a word of the code, such as UsageRecordList; and kubectl knows
// it by that name.
func kindsExist(f *facts, p page) []finding {
	var found collect
	for i, line := range strings.Split(p.text, "\n") {
		for _, name := range aKind.FindAllString(line, -1) {
			if kind := strings.TrimSuffix(name, "s"); !f.kinds[name] && !f.kinds[kind] && !f.words[name] {
				found.add(i+1, "there is no kind %s", name)
			}
		}
		for _, name := range aResource.FindAllString(line, -1) {
			if !f.resources[name] && !f.words[name] {
				found.add(i+1, "kubectl knows no %s", name)
			}
		}
	}
	return found
}

var (
	aField = regexp.MustCompile(`^(?:spec|status)(?:\.[a-zA-Z]+)+$`)
	aTest  = regexp.MustCompile(`\bTest[A-Z]\w*`)
)

// wordsExist: a word in backticks that is written as reasons, kinds, phases, tests and fields are stands somewhere in the code.
func wordsExist(f *facts, p page) []finding {
	var found collect
	for _, piece := range p.pieces() {
		var words []string
		switch {
		case piece.output || piece.typed:
		case camelCase.MatchString(piece.text):
			words = []string{piece.text}
		case aField.MatchString(piece.text):
			words = strings.Split(piece.text, ".")
		}
		for _, word := range words {
			if !f.words[word] && othersNames[word] == "" {
				found.add(piece.line, "nothing is called %s", word)
			}
		}
		for _, name := range aTest.FindAllString(piece.text, -1) { // or of several, after -run
			if !f.words[name] && !slices.Contains(words, name) && !f.beginsAWord(name) {
				found.add(piece.line, "there is no test %s", name)
			}
		}
	}
	return found
}

func (f *facts) beginsAWord(name string) bool {
	for word := range f.words {
		if strings.HasPrefix(word, name) {
			return true
		}
	}
	return false
}

var aPath = regexp.MustCompile(`^(?:\./)?((?:api|charts|cmd|config|controllers|docs|hack|internal|test|ui)/[A-Za-z0-9_./*{},-]+)$`)

// filesExist: a path from the root of the repository is that of a file or a folder.
func filesExist(f *facts, p page) []finding {
	var found collect
	for _, piece := range p.pieces() {
		for _, word := range strings.FieldsFunc(piece.text, func(r rune) bool { return strings.ContainsRune(" =\"'`;:", r) }) {
			if is := aPath.FindStringSubmatch(word); is != nil && !piece.output && !f.hasFile(is[1]) {
				found.add(piece.line, "there is no %s", is[1])
			}
		}
	}
	return found
}

func (f *facts) hasFile(name string) bool {
	name = path.Clean(strings.TrimRight(name, ".,/"))
	if before, after, braces := strings.Cut(name, "{"); braces {
		list, rest, _ := strings.Cut(after, "}")
		return !slices.ContainsFunc(strings.Split(list, ","), func(each string) bool { return !f.hasFile(before + each + rest) })
	}
	if !strings.Contains(name, "*") {
		return f.files[name] || othersNames[name] != ""
	}
	for file := range f.files {
		if is, err := filepath.Match(name, file); err == nil && is {
			return true
		}
	}
	return false
}

// linksResolve: a link goes to a file or a folder that there is, and to a part that the page has.
func linksResolve(f *facts, p page) []finding {
	var found collect
	for _, link := range p.links() {
		file, part, _ := strings.Cut(link.text, "#")
		target, isPage := f.pages[file]
		switch {
		case !f.files[file]:
			found.add(link.line, "the link goes to %s, which is not there", file)
		case part != "" && isPage && !target.anchors()[part]:
			found.add(link.line, "%s has no part #%s", file, part)
		}
	}
	return found
}
