package usageapi

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// hourlyFilter is what a query string lets through.
type hourlyFilter struct {
	from, to                                           string // "" is the default
	deployments, containers, resourceTypes, dimensions []string
}

// parseHourlyQuery reads the query of hourly details. Its grammar:
//
//	query     = "" | value | [ "{" ] condition { [ "," | "and" ] condition } [ "}" ]
//	condition = name "=" value
//	          | name "in" "(" value { "," value } ")"
//	name      = "from" | "to" | "deployment" | "container" | "resource_type" | "dimension"
//	value     = letters, digits and any of . _ : / + - | a string in double quotes, with \" and \\
//
// A value alone is the name of a deployment. An empty value, "", is what has none.
func parseHourlyQuery(text string) (*hourlyFilter, error) {
	p := &queryParser{rest: text}
	p.next()
	filter := &hourlyFilter{}
	err := p.query(filter)
	if err == nil {
		return filter, nil
	}
	return nil, badRequest("query: %v: want conditions such as "+
		`deployment=web and resource_type in (vm, volume) and from=2026-11-01T00:00:00Z and to=2026-11-02T00:00:00Z, or one deployment's name`, err)
}

type tokenKind int

const (
	endToken tokenKind = iota
	wordToken
	stringToken
	signToken
	badToken
)

// queryParser reads a token ahead.
type queryParser struct {
	rest string
	kind tokenKind
	text string // of the token that is next
}

func (p *queryParser) next() {
	p.rest = strings.TrimLeftFunc(p.rest, unicode.IsSpace)
	switch {
	case p.rest == "":
		p.kind, p.text = endToken, ""
	case p.rest[0] == '"':
		p.quoted()
	case strings.IndexByte("{}(),=", p.rest[0]) >= 0:
		p.take(signToken, 1)
	default:
		end := strings.IndexFunc(p.rest, func(r rune) bool { return !isWord(r) })
		switch {
		case end < 0:
			p.take(wordToken, len(p.rest))
		case end > 0:
			p.take(wordToken, end)
		default:
			_, size := utf8.DecodeRuneInString(p.rest)
			p.take(badToken, size)
		}
	}
}

func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._:/+-", r)
}

func (p *queryParser) take(kind tokenKind, length int) {
	p.kind, p.text, p.rest = kind, p.rest[:length], p.rest[length:]
}

func (p *queryParser) quoted() {
	var value strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.kind, p.text, p.rest = stringToken, value.String(), p.rest[i+1:]
			return
		case c == '\\' && i+1 < len(p.rest) && strings.IndexByte(`"\`, p.rest[i+1]) >= 0:
			i++
			value.WriteByte(p.rest[i])
		default:
			value.WriteByte(c)
		}
	}
	p.take(badToken, len(p.rest))
}

func (p *queryParser) is(sign string) bool { return p.kind == signToken && p.text == sign }

// isKeyword tells that the token is a word, in any case.
func (p *queryParser) isKeyword(word string) bool {
	return p.kind == wordToken && strings.EqualFold(p.text, word)
}

func (p *queryParser) found() string {
	switch p.kind {
	case endToken:
		return "the end"
	case badToken:
		return fmt.Sprintf("%.20q", p.text)
	}
	return fmt.Sprintf("%q", p.text)
}

func (p *queryParser) query(f *hourlyFilter) error {
	if p.kind == endToken {
		return nil
	}
	if name, alone := p.alone(); alone {
		f.deployments = []string{name}
		return nil
	}
	braces := p.is("{")
	if braces {
		p.next()
	}
	if !braces || !p.is("}") {
		if err := p.conditions(f); err != nil {
			return err
		}
	}
	if braces && !p.is("}") {
		return fmt.Errorf("%s is where } should be", p.found())
	}
	if braces {
		p.next()
	}
	if p.kind != endToken {
		return fmt.Errorf("%s comes after the end", p.found())
	}
	return nil
}

// alone is the value that is all there is, if that is so.
func (p *queryParser) alone() (value string, is bool) {
	ahead := *p
	value, err := ahead.value()
	return value, err == nil && ahead.kind == endToken
}

// conditions reads at least one.
func (p *queryParser) conditions(f *hourlyFilter) error {
	for {
		if p.kind != wordToken {
			return fmt.Errorf("%s is where a condition should begin", p.found())
		}
		name := p.text
		p.next()
		if err := p.condition(f, strings.ToLower(name)); err != nil {
			return err
		}
		if p.kind == endToken || p.is("}") {
			return nil
		}
		if p.is(",") || p.isKeyword("and") {
			p.next()
		}
	}
}

func (p *queryParser) condition(f *hourlyFilter, name string) error {
	lists := map[string]*[]string{
		"deployment": &f.deployments, "container": &f.containers, "resource_type": &f.resourceTypes, "dimension": &f.dimensions,
	}
	list := lists[name]
	moment := map[string]*string{"from": &f.from, "to": &f.to}[name]
	switch {
	case list == nil && moment == nil:
		return fmt.Errorf("%q is none of from, to, deployment, container, resource_type, dimension", name)
	case list != nil && *list != nil, moment != nil && *moment != "":
		return fmt.Errorf("%s is there twice", name)
	}
	var values []string
	switch {
	case p.is("="):
		p.next()
		value, err := p.value()
		if err != nil {
			return err
		}
		values = []string{value}
	case p.isKeyword("in") && list != nil:
		p.next()
		var err error
		if values, err = p.values(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("after %s comes %s", name, p.found())
	}
	if list != nil {
		slices.Sort(values) // in whatever order they are, it is one query
		*list = slices.Compact(values)
		return nil
	}
	if *moment = values[0]; *moment == "" {
		return fmt.Errorf("%s is empty", name)
	}
	return nil
}

func (p *queryParser) value() (string, error) {
	if p.kind != wordToken && p.kind != stringToken {
		return "", fmt.Errorf("%s is where a value should be", p.found())
	}
	value := p.text
	p.next()
	return value, nil
}

func (p *queryParser) values() ([]string, error) {
	if !p.is("(") {
		return nil, fmt.Errorf("%s is where ( should be", p.found())
	}
	var values []string
	for {
		p.next()
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		if p.is(")") {
			p.next()
			return values, nil
		}
		if !p.is(",") {
			return nil, fmt.Errorf("%s is where , or ) should be", p.found())
		}
	}
}
