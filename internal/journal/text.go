package journal

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// substitute begins a byte that text cannot hold, written as two hex digits:
// U+001A, which Unicode has for this purpose.
const substitute = "\x1a"

// text is any string as text that every tool reads: in UTF-8, without NUL
// (which some databases do not take). Nearly every string is that already.
func text(s string) string {
	if utf8.ValidString(s) && !strings.ContainsAny(s, "\x00"+substitute) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		char, size := utf8.DecodeRuneInString(s)
		if char == utf8.RuneError && size == 1 || s[0] == 0 || s[0] == substitute[0] {
			fmt.Fprintf(&b, substitute+"%02x", s[0])
		} else {
			b.WriteString(s[:size])
		}
		s = s[size:]
	}
	return b.String()
}

// untext is the string that text wrote.
func untext(s string) (string, error) {
	before, rest, found := strings.Cut(s, substitute)
	if !found {
		return s, nil
	}
	var b strings.Builder
	for ; found; before, rest, found = strings.Cut(rest, substitute) {
		b.WriteString(before)
		if len(rest) < 2 {
			return "", fmt.Errorf("%q ends within a substituted byte", s)
		}
		char, err := strconv.ParseUint(rest[:2], 16, 8)
		if err != nil {
			return "", fmt.Errorf("%q: %w", s, err)
		}
		b.WriteByte(byte(char))
		rest = rest[2:]
	}
	b.WriteString(before)
	return b.String(), nil
}

// attributesText is attributes as a JSON object; what is not in canonical form,
// as a JSON string.
func attributesText(attributes usage.Attributes) (string, error) {
	facts := attributes.Map()
	if facts == nil {
		return "{}", nil
	}
	if usage.NewAttributes(facts) != attributes {
		return marshalText(text(string(attributes)))
	}
	texts := make(map[string]string, len(facts))
	for key, value := range facts {
		texts[text(key)] = text(value)
	}
	return marshalText(texts)
}

func marshalText(value any) (string, error) {
	out, err := marshal(value)
	return string(out), err
}

// parseAttributes reads what attributesText wrote.
func parseAttributes(s string) (usage.Attributes, error) {
	if s == "{}" {
		return "", nil
	}
	if strings.HasPrefix(s, `"`) {
		var raw string
		if err := json.Unmarshal([]byte(s), &raw); err != nil {
			return "", fmt.Errorf("attributes %q: %w", s, err)
		}
		raw, err := untext(raw)
		return usage.Attributes(raw), err
	}
	var texts map[string]string
	if err := json.Unmarshal([]byte(s), &texts); err != nil {
		return "", fmt.Errorf("attributes %q: %w", s, err)
	}
	facts := make(map[string]string, len(texts))
	for key, value := range texts {
		key, err := untext(key)
		if err != nil {
			return "", err
		}
		if facts[key], err = untext(value); err != nil {
			return "", err
		}
	}
	return usage.NewAttributes(facts), nil
}
