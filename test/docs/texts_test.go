package docs

import (
	"regexp"
	"strings"
)

// textRules are those of what people read beside the docs: help, messages, comments, manifests and the chart.
var textRules = []rule{
	{"commands of help", helpedCommandsExist},
	{"flags of messages", messagesFlagsExist},
	{"pages of messages", messagesPagesExist},
}

var helped = regexp.MustCompile("(?:^|\\\\n|[\"`])  ((?:kubectl usage|usage-operator|usage-hub|make) [^\"`]*)|See ((?:kubectl usage|usage-operator|usage-hub)[a-z ]* --help)")

// helpedCommandsExist: what help shows as a command, behind two spaces, is one.
func helpedCommandsExist(f *facts, p page) []finding {
	var found collect
	for i, line := range strings.Split(p.text, "\n") {
		for _, each := range helped.FindAllStringSubmatch(line, -1) {
			for one := range strings.SplitSeq(each[1]+each[2], `\n`) {
				for _, call := range calls(regexp.MustCompile(`\s{2,}[A-Z].*$`).ReplaceAllString(one, "")) {
					if program := f.programs[call.program]; program != nil {
						for _, wrong := range program.wrong(call.args) {
							found.add(i+1, "%s: %s", one, wrong)
						}
					}
				}
			}
		}
	}
	return found
}

// messagesFlagsExist: a flag is one of the project's. The Makefile is left out: it calls programs of others.
func messagesFlagsExist(f *facts, p page) []finding {
	var found collect
	if p.path == "Makefile" {
		return nil
	}
	for i, line := range strings.Split(p.text, "\n") {
		for _, flag := range aFlag.FindAllStringSubmatch(line, -1) {
			if !f.flagOfAny(flag[1]) && othersFlags[flag[1]] == "" {
				found.add(i+1, "no program of the project has a flag --%s", flag[1])
			}
		}
	}
	return found
}

var aPage = regexp.MustCompile(`\b(docs/[A-Za-z0-9_/.-]+\.md)(?:#([a-z0-9-]+))?`)

// messagesPagesExist: a page of the docs is there, with the part that is named.
func messagesPagesExist(f *facts, p page) []finding {
	var found collect
	for i, line := range strings.Split(p.text, "\n") {
		for _, is := range aPage.FindAllStringSubmatch(line, -1) {
			if target, there := f.pages[is[1]]; !there {
				found.add(i+1, "there is no page %s", is[1])
			} else if is[2] != "" && !target.anchors()[is[2]] {
				found.add(i+1, "%s has no part #%s", is[1], is[2])
			}
		}
	}
	return found
}
