package meter

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxText is the longest name, label or attribute that is kept as it is, in bytes.
	maxText = 253
	// maxOf is the longest name of what a dimension is of: with the dimension before
	// it, of at most 63 bytes and a "/", it is no longer than maxText.
	maxOf = maxText - 63 - 1
	// hashBytes of the SHA-256 keep apart what was cut to the same beginning.
	hashBytes = 8
	// maxMessage is the longest error, in bytes: what a UsageMeter's status takes.
	maxMessage = 1000
)

// Tidy is text as it may be stored and shown: at most maxText bytes, and
// nothing that is not graphic (control characters, bidirectional overrides,
// invalid UTF-8). Text that has to change gets its hash as its end, so that
// two texts stay two: nobody evades metering, or hides behind another's name,
// by a strange label.
func Tidy(text string) string { return tidy(text, maxText) }

// tidy is Tidy with another limit, in bytes.
func tidy(text string, limit int) string {
	if len(text) <= limit && isPlain(text) {
		return text
	}
	clean := graphic(text)
	if clean == text && len(text) <= limit {
		return text
	}
	hash := sha256.Sum256([]byte(text))
	return cut(clean, limit-1-2*hashBytes) + "-" + hex.EncodeToString(hash[:hashBytes])
}

// printable is text for a message: graphic, and cut to limit bytes.
func printable(text string, limit int) string {
	clean := graphic(text)
	if len(clean) <= limit {
		return clean
	}
	const ellipsis = "…"
	return cut(clean, limit-len(ellipsis)) + ellipsis
}

// isPlain is the quick answer for almost all text: printable ASCII.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// graphic is text with U+FFFD for each character that is not graphic, and for
// each byte that is not UTF-8.
func graphic(text string) string {
	return strings.Map(func(char rune) rune {
		if unicode.IsGraphic(char) {
			return char
		}
		return utf8.RuneError
	}, text)
}

// cut is the longest beginning of text that has at most limit bytes and ends
// between two characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
