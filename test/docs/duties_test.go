package docs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// duty is what the docs have to say of what there is. It gives what they leave out.
type duty struct {
	name    string
	missing func(*facts) []string
}

var duties = []duty{
	{"flags of the operator", operatorFlagsSaid},
	{"commands and flags of kubectl usage", pluginSaid},
	{"commands and flags of usage-hub", hubSaid},
	{"reasons", reasonsSaid},
	{"roles and policies", objectsSaid},
	{"kinds", kindsSaid},
	{"pages", pagesLinked},
	{"packages", packagesSaid},
	{"what is metered", metersSaid},
}

// absent are those of the wanted words that stand in none of the pages' code.
func (f *facts) absent(wanted []string, pages ...string) (all []string) {
	said := map[string]bool{}
	for _, name := range pages {
		for _, piece := range f.pages[name].pieces() {
			said[piece.text] = true
			for _, word := range strings.FieldsFunc(piece.text, func(r rune) bool { return strings.ContainsRune(" =,;:()[]|/\"'", r) }) {
				said[word] = true
			}
		}
	}
	for _, word := range wanted {
		if !said[word] {
			all = append(all, fmt.Sprintf("%s: not in %s", word, strings.Join(pages, ", ")))
		}
	}
	slices.Sort(all)
	return all
}

// readers are the pages for those who use the operator or run it: no decisions, no changes, nothing that is generated.
func (f *facts) readers() (names []string) {
	for name := range f.pages {
		if strings.HasPrefix(name, "docs/") && !strings.HasPrefix(name, "docs/design/") && !strings.HasPrefix(name, "docs/reference/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// longFlags are the flags of a command, as they are typed.
func longFlags(flags map[string]bool) (all []string) {
	for flag := range flags {
		if len(flag) > 1 && flag != "help" {
			all = append(all, "--"+flag)
		}
	}
	return all
}

func operatorFlagsSaid(f *facts) []string {
	of := f.programs["usage-operator"].commands
	return slices.Concat(
		f.absent(longFlags(of[running]), "docs/install.md"),
		f.absent(longFlags(of["check"]), "docs/install.md"),
		f.absent(longFlags(of["verify"]), "docs/verify.md", "docs/install.md"),
		f.absent(longFlags(of["archive"]), "docs/archive.md", "docs/install.md"),
	)
}

func pluginSaid(f *facts) []string {
	of := f.programs["kubectl usage"].commands
	var commands, flags []string
	for command := range of {
		if command == "" || command == "help" {
			continue // what all have, most of which is kubectl's
		}
		flags = append(flags, longFlags(of[command])...)
		if name, below, _ := strings.Cut(command, " "); f.programs["kubectl usage"].below(name) == (below != "") {
			commands = append(commands, command)
		}
	}
	var missing []string
	for _, command := range commands {
		if !f.saidCommand("kubectl usage", command, "docs/kubectl-usage.md") {
			missing = append(missing, "kubectl usage "+command+": not in docs/kubectl-usage.md")
		}
	}
	slices.Sort(flags)
	return slices.Concat(missing, f.absent(slices.Compact(flags), "docs/kubectl-usage.md", "docs/verify.md", "docs/meters.md"))
}

func hubSaid(f *facts) []string {
	var missing, flags []string
	for command, takes := range f.programs["usage-hub"].commands {
		if !f.saidCommand("usage-hub", command, "docs/fleet.md") {
			missing = append(missing, "usage-hub "+command+": not in docs/fleet.md")
		}
		flags = append(flags, longFlags(takes)...)
	}
	slices.Sort(flags)
	return slices.Concat(missing, f.absent(slices.Compact(flags), "docs/fleet.md"))
}

// saidCommand tells whether a page has a command.
func (f *facts) saidCommand(program, command, name string) bool {
	for _, piece := range f.pages[name].pieces() {
		for _, call := range calls(piece.text) {
			if typed := strings.Join(call.args, " ") + " "; call.program == program && strings.HasPrefix(typed, command+" ") || strings.HasSuffix(" "+command, " "+piece.text) {
				return true
			}
		}
	}
	return false
}

func reasonsSaid(f *facts) []string {
	return f.absent(slices.Collect(maps.Keys(f.reasons)), f.readers()...)
}

// objectsSaid: the roles are in docs/install.md, and the policies in one of the pages, or the component that they are in.
func objectsSaid(f *facts) []string {
	var roles, policies []string
	for name, manifests := range f.objects {
		for _, m := range manifests {
			switch {
			case m.kind == "Role" || m.kind == "ClusterRole":
				roles = append(roles, name)
			case m.kind == "ValidatingAdmissionPolicy" && m.folder == "config/policy":
				policies = append(policies, name)
			case m.kind == "ValidatingAdmissionPolicy":
				policies = append(policies, m.folder)
			}
		}
	}
	slices.Sort(policies)
	return slices.Concat(f.absent(roles, "docs/install.md"), f.absent(slices.Compact(policies), f.readers()...))
}

// kindsSaid: PROJECT has the kinds that config/crd has and no other, the reference has a part for each, and
// docs/install.md names them.
func kindsSaid(f *facts) []string {
	var missing []string
	project := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^  kind: (\w+)$`).FindAllStringSubmatch(f.project, -1) {
		project[found[1]] = true
		if !f.kinds[found[1]] {
			missing = append(missing, found[1]+": in PROJECT, and not in config/crd")
		}
	}
	for kind := range f.kinds {
		if !project[kind] {
			missing = append(missing, kind+": not in PROJECT")
		}
		if !f.pages["docs/reference/api.md"].anchors()[strings.ToLower(kind)] {
			missing = append(missing, kind+": not in docs/reference/api.md")
		}
	}
	return append(missing, f.absent(slices.Collect(maps.Keys(f.kinds)), "docs/install.md")...)
}

// pagesLinked: another page, or a folder's, links to each.
func pagesLinked(f *facts) []string {
	linked := map[string]bool{}
	for name, p := range f.pages {
		for _, link := range p.links() {
			if file, _, _ := strings.Cut(link.text, "#"); file != name {
				linked[file] = true
			}
		}
	}
	var missing []string
	for name := range f.pages {
		if strings.HasPrefix(name, "docs/") && !linked[name] && !linked[name[:strings.LastIndex(name, "/")]] && name != "docs/README.md" {
			missing = append(missing, name+": no page links to it")
		}
	}
	return missing
}

// packagesSaid: the table of folders in docs/development.md has every folder of internal/ and cmd/.
func packagesSaid(f *facts) []string {
	said := map[string]bool{}
	for _, cell := range f.pages["docs/development.md"].cells("folder") {
		said[cell.text] = true
	}
	var missing []string
	for name := range f.files {
		top, below, nested := strings.Cut(name, "/")
		if (top == "internal" || top == "cmd") && nested && !strings.Contains(below, "/") && !said[name] {
			missing = append(missing, name+": not in the folders of docs/development.md")
		}
	}
	return missing
}

// metersSaid: README.md has a row for each resource type of the built-in meters, with its dimensions and no other.
func metersSaid(f *facts) []string {
	said := map[string]bool{}
	var missing []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\|[^|]*\\|([^|]*)\\|$").FindAllStringSubmatch(f.pages["README.md"].text, -1) {
		said[row[1]] = true
		dimensions := strings.FieldsFunc(row[2], func(r rune) bool { return strings.ContainsRune(" ,;", r) })
		slices.Sort(dimensions)
		if is := slices.Sorted(maps.Keys(f.measured[row[1]])); !slices.Equal(dimensions, is) {
			missing = append(missing, fmt.Sprintf("%s is measured in %v, and README.md says %v", row[1], is, dimensions))
		}
	}
	for name := range f.measured {
		if !said[name] {
			missing = append(missing, name+": not in README.md")
		}
	}
	return missing
}
